-- The shop as it is: the schema of the old store.
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
    total       numeric(10,2) NOT NULL DEFAULT 0,
    note        text,
    shipping    jsonb,
    placed_at   timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX orders_customer ON orders (customer_id);

-- Written once and never changed: no version column.
CREATE TABLE order_items (
    order_id bigint NOT NULL REFERENCES orders (id),
    line     integer NOT NULL,
    sku      varchar(32) NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    price    numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE payments (
    id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id bigint NOT NULL REFERENCES orders (id),
    method   text NOT NULL,
    amount   numeric(10,2) NOT NULL,
    paid_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_order ON payments (order_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop;
