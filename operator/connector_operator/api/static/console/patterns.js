// Which streams a pattern takes, for a preview; the runner decides. Pure.

const PART = /"((?:[^"]|"")*)"|([^".]+)/y;

/** A pattern as a regular expression over ids: parts joined by dots, * and ? in plain parts. Throws if it can't be read. */
export function compile(text) {
  const parts = [];
  PART.lastIndex = 0;
  for (;;) {
    const found = PART.exec(text);
    if (!found) throw new Error(`${text} is no pattern: write parts joined by single dots, such as shop.*`);
    parts.push(found[1] === undefined ? glob(found[2]) : escape(found[1].replaceAll('""', '"')));
    if (PART.lastIndex === text.length) return new RegExp(`^${parts.join("\\.")}$`, "su");
    if (text[PART.lastIndex] !== ".") throw new Error(`${text} is no pattern: a quoted part ends before ${text.slice(PART.lastIndex)}`);
    PART.lastIndex += 1;
  }
}

/** Whether a selection ({include, exclude}) takes a stream: a function of its id. Throws if a pattern can't be read. */
export function compileSelection({ include = [], exclude = [] }) {
  const taken = include.map(compile);
  const left = exclude.map(compile);
  return (id) => taken.some((pattern) => pattern.test(id)) && !left.some((pattern) => pattern.test(id));
}

/** The pattern that takes just the stream of this id. */
export function quote(id) {
  return /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(id) ? id : `"${id.replaceAll('"', '""')}"`;
}

/** Patterns from a text with one a line. */
export function readLines(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

function glob(text) {
  return [...text].map((letter) => ({ "*": ".*", "?": "." })[letter] || escape(letter)).join("");
}

function escape(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
