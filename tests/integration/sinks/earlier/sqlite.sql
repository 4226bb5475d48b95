BEGIN TRANSACTION;
CREATE TABLE "_connector_checkpoints" (
  connector TEXT NOT NULL, stream TEXT NOT NULL, table_name TEXT NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL,
  uid TEXT NOT NULL, run INTEGER NOT NULL, identity TEXT NOT NULL, schema_version TEXT NOT NULL, position TEXT,
  write_mode TEXT NOT NULL, updated TEXT NOT NULL, PRIMARY KEY (connector, stream, table_name)
);
INSERT INTO "_connector_checkpoints" VALUES('default/test','test','rows',1,2,'uid-1',1,'list','e80aeb64dbdc','{"next":3}','upsert','2026-11-28T02:23:56.432Z');
INSERT INTO "_connector_checkpoints" VALUES('default/test','test','history',1,2,'uid-1',1,'list','e80aeb64dbdc','{"next":3}','append','2026-11-28T02:23:56.441Z');
INSERT INTO "_connector_checkpoints" VALUES('default/test','test','again',2,2,'',0,'','e80aeb64dbdc',NULL,'upsert','2026-11-28T02:23:56.459Z');
CREATE TABLE "again" ("product" TEXT NOT NULL, "number" INTEGER NOT NULL, "size" TEXT, "at" TEXT, "count" TEXT, "extra" TEXT, "raw" BLOB, "ratio" REAL, PRIMARY KEY ("product", "number"));
INSERT INTO "again" VALUES('BTC',1,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5);
INSERT INTO "again" VALUES('BTC',2,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5);
INSERT INTO "again" VALUES('ETH',1,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5);
CREATE TABLE "again_dead_letters" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, reason TEXT NOT NULL,
  operation TEXT NOT NULL, position TEXT NOT NULL, "row" TEXT NOT NULL
);
CREATE TABLE "again_incidents" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, message TEXT NOT NULL, detail TEXT NOT NULL, position TEXT NOT NULL
);
INSERT INTO "again_incidents" VALUES(1,'2026-11-28T02:23:56.455Z','default/test','test','gap','BTC','trade 0 can''t be had','{"first": 0}','{"next":1}');
CREATE TABLE "history" (_id INTEGER PRIMARY KEY, "product" TEXT, "number" INTEGER, "size" TEXT, "at" TEXT, "count" TEXT, "extra" TEXT, "raw" BLOB, "ratio" REAL, _op TEXT NOT NULL, _position TEXT NOT NULL, _written_at TEXT NOT NULL, _connector TEXT NOT NULL, _stream TEXT NOT NULL);
INSERT INTO "history" VALUES(1,'BTC',1,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5,'upsert','{"next":1}','2026-11-28T02:23:56.442Z','default/test','test');
INSERT INTO "history" VALUES(2,'BTC',2,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5,'upsert','{"next":1}','2026-11-28T02:23:56.442Z','default/test','test');
INSERT INTO "history" VALUES(3,'ETH',1,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5,'upsert','{"next":1}','2026-11-28T02:23:56.442Z','default/test','test');
INSERT INTO "history" VALUES(4,'BTC',2,'2.25','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5,'upsert','{"next":2}','2026-11-28T02:23:56.442Z','default/test','test');
INSERT INTO "history" VALUES(5,'ETH',1,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5,'delete','{"next":2}','2026-11-28T02:23:56.442Z','default/test','test');
INSERT INTO "history" VALUES(6,'ETH',2,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5,'insert','{"next":2}','2026-11-28T02:23:56.442Z','default/test','test');
CREATE TABLE "history_dead_letters" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, reason TEXT NOT NULL,
  operation TEXT NOT NULL, position TEXT NOT NULL, "row" TEXT NOT NULL
);
INSERT INTO "history_dead_letters" VALUES(1,'2026-11-28T02:23:56.442Z','default/test','test','UnicodeEncodeError: ''utf-8'' codec can''t encode character ''\ud800'' in position 0: surrogates not allowed','upsert','{"next":2}','{"product": "\ud800", "number": 3, "size": "1.50", "at": "2026-01-31T13:59:59.000001+00:00", "count": 18446744073709551615, "extra": "{\"a\": 1.0}", "raw": "AP8=", "ratio": 0.5}');
CREATE TABLE "history_incidents" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, message TEXT NOT NULL, detail TEXT NOT NULL, position TEXT NOT NULL
);
INSERT INTO "history_incidents" VALUES(1,'2026-11-28T02:23:56.442Z','default/test','test','gap','BTC','trade 0 can''t be had','{"first": 0}','{"next":1}');
CREATE TABLE "rows" ("product" TEXT NOT NULL, "number" INTEGER NOT NULL, "size" TEXT, "at" TEXT, "count" TEXT, "extra" TEXT, "raw" BLOB, "ratio" REAL, PRIMARY KEY ("product", "number"));
INSERT INTO "rows" VALUES('BTC',1,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5);
INSERT INTO "rows" VALUES('BTC',2,'2.25','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5);
INSERT INTO "rows" VALUES('ETH',2,'1.50','2026-01-31T13:59:59.000001Z','18446744073709551615','{"a": 1.0}',X'00FF',0.5);
CREATE TABLE "rows_dead_letters" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, reason TEXT NOT NULL,
  operation TEXT NOT NULL, position TEXT NOT NULL, "row" TEXT NOT NULL
);
INSERT INTO "rows_dead_letters" VALUES(1,'2026-11-28T02:23:56.432Z','default/test','test','UnicodeEncodeError: ''utf-8'' codec can''t encode character ''\ud800'' in position 0: surrogates not allowed','upsert','{"next":2}','{"product": "\ud800", "number": 3, "size": "1.50", "at": "2026-01-31T13:59:59.000001+00:00", "count": 18446744073709551615, "extra": "{\"a\": 1.0}", "raw": "AP8=", "ratio": 0.5}');
CREATE TABLE "rows_incidents" (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, message TEXT NOT NULL, detail TEXT NOT NULL, position TEXT NOT NULL
);
INSERT INTO "rows_incidents" VALUES(1,'2026-11-28T02:23:56.432Z','default/test','test','gap','BTC','trade 0 can''t be had','{"first": 0}','{"next":1}');
COMMIT;
