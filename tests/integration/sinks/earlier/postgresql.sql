CREATE TABLE public._connector_checkpoints (
    connector text NOT NULL,
    stream text NOT NULL,
    table_name text NOT NULL,
    epoch bigint NOT NULL,
    number bigint NOT NULL,
    uid text NOT NULL,
    run bigint NOT NULL,
    identity text NOT NULL,
    schema_version text NOT NULL,
    "position" text,
    write_mode text NOT NULL,
    updated timestamp with time zone NOT NULL
)
WITH (fillfactor='50');
CREATE TABLE public.again (
    product text NOT NULL,
    number bigint NOT NULL,
    size numeric,
    at timestamp with time zone,
    count numeric,
    extra json,
    raw bytea,
    ratio double precision
);
CREATE TABLE public.again_dead_letters (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    connector text NOT NULL,
    stream text NOT NULL,
    reason text NOT NULL,
    operation text NOT NULL,
    "position" text NOT NULL,
    "row" json NOT NULL
);
ALTER TABLE public.again_dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.again_dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.again_incidents (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    connector text NOT NULL,
    stream text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    message text NOT NULL,
    detail json NOT NULL,
    "position" text NOT NULL
);
ALTER TABLE public.again_incidents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.again_incidents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.history (
    _id bigint NOT NULL,
    product text,
    number bigint,
    size numeric,
    at timestamp with time zone,
    count numeric,
    extra json,
    raw bytea,
    ratio double precision,
    _op text NOT NULL,
    _position text NOT NULL,
    _written_at timestamp with time zone NOT NULL,
    _connector text NOT NULL,
    _stream text NOT NULL
);
ALTER TABLE public.history ALTER COLUMN _id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.history__id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.history_dead_letters (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    connector text NOT NULL,
    stream text NOT NULL,
    reason text NOT NULL,
    operation text NOT NULL,
    "position" text NOT NULL,
    "row" json NOT NULL
);
ALTER TABLE public.history_dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.history_dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.history_incidents (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    connector text NOT NULL,
    stream text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    message text NOT NULL,
    detail json NOT NULL,
    "position" text NOT NULL
);
ALTER TABLE public.history_incidents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.history_incidents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.rows (
    product text NOT NULL,
    number bigint NOT NULL,
    size numeric,
    at timestamp with time zone,
    count numeric,
    extra json,
    raw bytea,
    ratio double precision
);
CREATE TABLE public.rows_dead_letters (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    connector text NOT NULL,
    stream text NOT NULL,
    reason text NOT NULL,
    operation text NOT NULL,
    "position" text NOT NULL,
    "row" json NOT NULL
);
ALTER TABLE public.rows_dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.rows_dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.rows_incidents (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    connector text NOT NULL,
    stream text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    message text NOT NULL,
    detail json NOT NULL,
    "position" text NOT NULL
);
ALTER TABLE public.rows_incidents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.rows_incidents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO public._connector_checkpoints VALUES ('default/test', 'test', 'rows', 1, 2, 'uid-1', 1, 'list', 'e80aeb64dbdc', '{"next":3}', 'upsert', '2026-11-28 02:23:57.290713+00');
INSERT INTO public._connector_checkpoints VALUES ('default/test', 'test', 'history', 1, 2, 'uid-1', 1, 'list', 'e80aeb64dbdc', '{"next":3}', 'append', '2026-11-28 02:23:57.316215+00');
INSERT INTO public._connector_checkpoints VALUES ('default/test', 'test', 'again', 2, 2, '', 0, '', 'e80aeb64dbdc', NULL, 'upsert', '2026-11-28 02:23:57.354634+00');
INSERT INTO public.again VALUES ('BTC', 1, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5);
INSERT INTO public.again VALUES ('BTC', 2, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5);
INSERT INTO public.again VALUES ('ETH', 1, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5);
INSERT INTO public.again_incidents OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 02:23:57.342356+00', 'default/test', 'test', 'gap', 'BTC', 'trade 0 can''t be had', '{"first": 0}', '{"next":1}');
INSERT INTO public.history OVERRIDING SYSTEM VALUE VALUES (1, 'BTC', 1, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5, 'upsert', '{"next":1}', '2026-11-28 02:23:57.316215+00', 'default/test', 'test');
INSERT INTO public.history OVERRIDING SYSTEM VALUE VALUES (2, 'BTC', 2, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5, 'upsert', '{"next":1}', '2026-11-28 02:23:57.316215+00', 'default/test', 'test');
INSERT INTO public.history OVERRIDING SYSTEM VALUE VALUES (3, 'ETH', 1, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5, 'upsert', '{"next":1}', '2026-11-28 02:23:57.316215+00', 'default/test', 'test');
INSERT INTO public.history OVERRIDING SYSTEM VALUE VALUES (4, 'BTC', 2, 2.25, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5, 'upsert', '{"next":2}', '2026-11-28 02:23:57.316215+00', 'default/test', 'test');
INSERT INTO public.history OVERRIDING SYSTEM VALUE VALUES (5, 'ETH', 1, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5, 'delete', '{"next":2}', '2026-11-28 02:23:57.316215+00', 'default/test', 'test');
INSERT INTO public.history OVERRIDING SYSTEM VALUE VALUES (6, 'ETH', 2, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5, 'insert', '{"next":2}', '2026-11-28 02:23:57.316215+00', 'default/test', 'test');
INSERT INTO public.history_dead_letters OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 02:23:57.316215+00', 'default/test', 'test', 'UnicodeEncodeError: ''utf-8'' codec can''t encode character ''\ud800'' in position 0: surrogates not allowed', 'upsert', '{"next":2}', '{"product": "\ud800", "number": 3, "size": "1.50", "at": "2026-01-31T13:59:59.000001+00:00", "count": 18446744073709551615, "extra": "{\"a\": 1.0}", "raw": "AP8=", "ratio": 0.5}');
INSERT INTO public.history_incidents OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 02:23:57.316215+00', 'default/test', 'test', 'gap', 'BTC', 'trade 0 can''t be had', '{"first": 0}', '{"next":1}');
INSERT INTO public.rows VALUES ('BTC', 1, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5);
INSERT INTO public.rows VALUES ('BTC', 2, 2.25, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5);
INSERT INTO public.rows VALUES ('ETH', 2, 1.50, '2026-01-31 13:59:59.000001+00', 18446744073709551615, '{"a": 1.0}', '\x00ff', 0.5);
INSERT INTO public.rows_dead_letters OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 02:23:57.290713+00', 'default/test', 'test', 'UnicodeEncodeError: ''utf-8'' codec can''t encode character ''\ud800'' in position 0: surrogates not allowed', 'upsert', '{"next":2}', '{"product": "\ud800", "number": 3, "size": "1.50", "at": "2026-01-31T13:59:59.000001+00:00", "count": 18446744073709551615, "extra": "{\"a\": 1.0}", "raw": "AP8=", "ratio": 0.5}');
INSERT INTO public.rows_incidents OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 02:23:57.290713+00', 'default/test', 'test', 'gap', 'BTC', 'trade 0 can''t be had', '{"first": 0}', '{"next":1}');
SELECT pg_catalog.setval('public.again_dead_letters_id_seq', 1, false);
SELECT pg_catalog.setval('public.again_incidents_id_seq', 1, true);
SELECT pg_catalog.setval('public.history__id_seq', 6, true);
SELECT pg_catalog.setval('public.history_dead_letters_id_seq', 1, true);
SELECT pg_catalog.setval('public.history_incidents_id_seq', 1, true);
SELECT pg_catalog.setval('public.rows_dead_letters_id_seq', 1, true);
SELECT pg_catalog.setval('public.rows_incidents_id_seq', 1, true);
ALTER TABLE ONLY public._connector_checkpoints
    ADD CONSTRAINT _connector_checkpoints_pkey PRIMARY KEY (connector, stream, table_name);
ALTER TABLE ONLY public.again_dead_letters
    ADD CONSTRAINT again_dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.again_incidents
    ADD CONSTRAINT again_incidents_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.again
    ADD CONSTRAINT again_pkey PRIMARY KEY (product, number);
ALTER TABLE ONLY public.history_dead_letters
    ADD CONSTRAINT history_dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.history_incidents
    ADD CONSTRAINT history_incidents_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.history
    ADD CONSTRAINT history_pkey PRIMARY KEY (_id);
ALTER TABLE ONLY public.rows_dead_letters
    ADD CONSTRAINT rows_dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rows_incidents
    ADD CONSTRAINT rows_incidents_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rows
    ADD CONSTRAINT rows_pkey PRIMARY KEY (product, number);
