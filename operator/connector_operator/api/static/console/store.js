// The fleet as it is known: connectors by name, and what was seen of their progress. Pure.

/** So long are points kept: while the page is open, an hour at the most. */
const KEPT_SECONDS = 3600;
/** A runner tells of itself once a minute if anything has changed: after two and a half without a word nothing comes. */
const SILENT_SECONDS = 150;

export class Fleet {
  constructor() {
    this.connectors = new Map();
    this.points = new Map();
    this.version = "";
    this.namespace = "";
    this.isWhole = false;
  }

  /** Takes up one page; the first one begins a new list, and after the last one what no page named is gone. */
  addPage(page, isFirst) {
    if (isFirst) this.seen = new Set();
    this.namespace = page.namespace;
    for (const connector of page.connectors) {
      this.seen.add(connector.name);
      this.put(connector);
    }
    if (page.continue) return;
    for (const name of [...this.connectors.keys()]) {
      if (!this.seen.has(name)) this.remove(name);
    }
    this.version = page.version;
    this.isWhole = true;
  }

  /** Takes up one event of the watch; says which connector changed ("" for none), or throws Expired. */
  addEvent(event) {
    if (event.event === "expired") throw new Expired();
    if (event.event === "changed") {
      this.version = event.connector.version;
      this.put(event.connector);
      return event.connector.name;
    }
    if (event.version) this.version = event.version;
    if (event.event !== "deleted") return "";
    this.remove(event.name);
    return event.name;
  }

  put(connector) {
    this.connectors.set(connector.name, connector);
    this.note(connector);
  }

  remove(name) {
    this.connectors.delete(name);
    this.points.delete(name);
  }

  note(connector) {
    const progress = connector.progress;
    if (!progress) return;
    const points = this.points.get(connector.name) || [];
    const at = Date.parse(connector.updated) / 1000;
    const last = points.at(-1);
    const point = {
      at, rows: progress.rows || 0, lag: progress.lagSeconds ?? null, run: progress.run,
      perMinute: progress.rowsPerMinute ?? null, commit: progress.commitMilliseconds ?? null,
    };
    if (last && (point.at <= last.at || MEASURES.every((name) => point[name] === last[name]))) return;
    points.push(point);
    while (points[0].at < at - KEPT_SECONDS) points.shift();
    this.points.set(connector.name, points);
  }

  /** Rows per second as the runner reported it, else between its last two reports of one execution; null while that is not known. */
  rateOf(name, now) {
    const points = this.points.get(name) || [];
    const last = points.at(-1);
    if (!last) return null;
    if (now / 1000 - last.at > SILENT_SECONDS) return 0;
    return rateAt(points, points.length - 1);
  }

  /** Rows per second, lag and the time of commits, as watched: arrays of {at, value}; at in seconds, commits in milliseconds. */
  seriesOf(name) {
    const points = this.points.get(name) || [];
    const take = (read) => points.map((point, index) => ({ at: point.at, value: read(point, index) })).filter(({ value }) => value !== null);
    return { rates: take((_, index) => rateAt(points, index)), lags: take((point) => point.lag), commits: take((point) => point.commit) };
  }
}

const MEASURES = ["rows", "lag", "run", "perMinute", "commit"];

function rateAt(points, index) {
  const [before, last] = [points[index - 1], points[index]];
  if (last.perMinute !== null) return last.perMinute / 60;
  return before ? rateBetween(before, last) : null;
}

function rateBetween(before, last) {
  if (before.run !== last.run || last.rows < before.rows) return null;
  return (last.rows - before.rows) / Math.max(1, last.at - before.at);
}

/** The version of the list is too old to go on from. */
export class Expired extends Error {}
