// The fleet as it is known: connectors by name, and what was seen of their progress. Pure.

const MOST_POINTS = 90;
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
    const point = { at, rows: progress.rows || 0, lag: progress.lagSeconds ?? null, run: progress.run };
    if (last && (point.at <= last.at || (point.rows === last.rows && point.lag === last.lag && point.run === last.run))) return;
    points.push(point);
    if (points.length > MOST_POINTS) points.shift();
    this.points.set(connector.name, points);
  }

  /** Rows per second between the last two reports of one execution; null while that is not known. */
  rateOf(name, now) {
    const points = this.points.get(name) || [];
    if (points.length < 2) return null;
    const [before, last] = points.slice(-2);
    return now / 1000 - last.at > SILENT_SECONDS ? 0 : rateBetween(before, last);
  }

  /** Rows per second and lag over time, as watched: arrays of {at, value}, at in seconds. */
  seriesOf(name) {
    const points = this.points.get(name) || [];
    const rates = [];
    for (let index = 1; index < points.length; index += 1) {
      const value = rateBetween(points[index - 1], points[index]);
      if (value !== null) rates.push({ at: points[index].at, value });
    }
    const lags = points.filter((point) => point.lag !== null).map((point) => ({ at: point.at, value: point.lag }));
    return { rates, lags };
  }
}

function rateBetween(before, last) {
  if (before.run !== last.run || last.rows < before.rows) return null;
  return (last.rows - before.rows) / Math.max(1, last.at - before.at);
}

/** The version of the list is too old to go on from. */
export class Expired extends Error {}
