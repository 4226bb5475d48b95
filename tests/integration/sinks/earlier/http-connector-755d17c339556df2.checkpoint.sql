BEGIN TRANSACTION;
CREATE TABLE "_connector_checkpoints" (
  connector TEXT NOT NULL, stream TEXT NOT NULL, table_name TEXT NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL,
  uid TEXT NOT NULL, run INTEGER NOT NULL, identity TEXT NOT NULL, schema_version TEXT NOT NULL, position TEXT,
  write_mode TEXT NOT NULL, updated TEXT NOT NULL, PRIMARY KEY (connector, stream, table_name)
);
INSERT INTO "_connector_checkpoints" VALUES('default/test','test','rows',1,2,'uid-1',1,'list','e80aeb64dbdc','{"next":3}','upsert','2026-11-28T02:23:56.485Z');
CREATE TABLE "rows_dead_letters" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, reason TEXT NOT NULL,
  operation TEXT NOT NULL, position TEXT NOT NULL, "row" TEXT NOT NULL
);
INSERT INTO "rows_dead_letters" VALUES(1,'2026-11-28T02:23:56.487Z','default/test','test','UnicodeEncodeError: ''utf-8'' codec can''t encode character ''\ud800'' in position 0: surrogates not allowed','upsert','{"next":2}','{"product": "\ud800", "number": 3, "size": "1.50", "at": "2026-01-31T13:59:59.000001+00:00", "count": 18446744073709551615, "extra": "{\"a\": 1.0}", "raw": "AP8=", "ratio": 0.5}');
CREATE TABLE "rows_incidents" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, message TEXT NOT NULL, detail TEXT NOT NULL, position TEXT NOT NULL
);
INSERT INTO "rows_incidents" VALUES(1,'2026-11-28T02:23:56.488Z','default/test','test','gap','BTC','trade 0 can''t be had','{"first": 0}','{"next":1}');
COMMIT;
