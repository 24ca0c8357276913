CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN email AS text CONSTRAINT email_at CHECK (VALUE LIKE '%@%');
CREATE DOMAIN percent AS int NOT NULL CONSTRAINT percent_low CHECK (VALUE >= 0) CONSTRAINT percent_high CHECK (VALUE <= 100);

CREATE TABLE people (
    id serial PRIMARY KEY,
    name text NOT NULL,
    nick varchar(10) UNIQUE,
    code char(4),
    age int,
    height real,
    score double precision,
    active boolean NOT NULL DEFAULT true,
    feeling mood DEFAULT 'ok',
    mail email,
    born date,
    boss int REFERENCES people
);

CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner int NOT NULL REFERENCES people ON DELETE CASCADE,
    balance numeric(12,2) NOT NULL DEFAULT 0,
    currency char(3) NOT NULL DEFAULT 'EUR',
    opened timestamptz NOT NULL DEFAULT '2024-01-01 00:00:00+00',
    CONSTRAINT accounts_balance_check CHECK (balance >= -100),
    CONSTRAINT accounts_owner_currency UNIQUE (owner, currency)
);

CREATE TABLE movements (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    line int NOT NULL,
    amount numeric(12,2) NOT NULL,
    doubled numeric(13,2) GENERATED ALWAYS AS (amount * 2) STORED,
    note text,
    PRIMARY KEY (account, line),
    CHECK (amount <> 0)
);

CREATE TABLE products (
    sku varchar(12) PRIMARY KEY,
    title text NOT NULL CHECK (length(title) > 0),
    price numeric(10,2),
    weight numeric,
    stock smallint NOT NULL DEFAULT 0,
    tags text[],
    sizes int[],
    attributes jsonb,
    share percent NOT NULL DEFAULT 50,
    added timestamp DEFAULT '2024-02-29 12:34:56.789'
);

CREATE TABLE samples (
    id int PRIMARY KEY,
    c_bool boolean,
    c_int2 smallint,
    c_int4 integer,
    c_int8 bigint,
    c_numeric numeric,
    c_money_like numeric(10,2),
    c_float4 real,
    c_float8 double precision,
    c_text text,
    c_varchar varchar(20),
    c_char char(6),
    c_bytea bytea,
    c_uuid uuid,
    c_date date,
    c_time time,
    c_timetz timetz,
    c_timestamp timestamp,
    c_timestamptz timestamptz,
    c_interval interval,
    c_json json,
    c_jsonb jsonb,
    c_mood mood,
    c_email email,
    c_inet inet,
    c_ints int[],
    c_texts text[],
    c_numerics numeric[],
    c_uuids uuid[],
    c_timestamps timestamp[],
    c_moods mood[],
    c_timestamp0 timestamp(0),
    c_timestamptz3 timestamptz(3)
);

CREATE TABLE jobs (
    id bigserial PRIMARY KEY,
    state text NOT NULL DEFAULT 'waiting',
    worker int
);

CREATE TABLE counters (
    id int PRIMARY KEY,
    n bigint NOT NULL DEFAULT 0
);

-- Columns that are fed by sequences which belong to others, or to nobody.
CREATE SEQUENCE ticket_numbers START 10 INCREMENT 5;
CREATE TABLE tickets (
    id serial PRIMARY KEY,
    number bigserial
);
ALTER TABLE tickets ALTER number SET DEFAULT nextval('ticket_numbers');
CREATE TABLE refunds (
    id int PRIMARY KEY,
    number bigint NOT NULL DEFAULT nextval('tickets_number_seq')
);
