-- The shop as it is to be: the schema of the new store. What differs from the old one is marked.
CREATE TYPE tier AS ENUM ('bronze', 'silver', 'gold');
CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'returned');

CREATE TABLE customers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email      varchar(120) NOT NULL UNIQUE,
    name       text NOT NULL,
    tier       tier NOT NULL DEFAULT 'bronze',
    profile    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    version    bigint NOT NULL DEFAULT 1
);

CREATE TABLE orders (
    id          bigserial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id),
    status      order_status NOT NULL DEFAULT 'new',
    amount      numeric(14,4) NOT NULL DEFAULT 0,          -- was total, numeric(10,2)
    note        text,
    shipping    jsonb,
    placed_at   timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX orders_customer ON orders (customer_id);

CREATE TABLE order_items (
    order_id bigint NOT NULL REFERENCES orders (id),
    line     integer NOT NULL,
    sku      text NOT NULL,                                -- was varchar(32)
    quantity integer NOT NULL CHECK (quantity > 0),
    price    numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE SCHEMA billing;
CREATE TABLE billing.payment (                             -- was payments
    id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id bigint NOT NULL REFERENCES orders (id),
    method   text NOT NULL,
    amount   numeric(10,2) NOT NULL,
    paid_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payment_order ON billing.payment (order_id);

GRANT USAGE ON SCHEMA billing TO shop;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, billing TO shop;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop;
