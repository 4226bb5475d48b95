-- What the example reads; the statements work on MySQL and MariaDB.
CREATE DATABASE shop;
CREATE TABLE shop.orders (
  id BIGINT PRIMARY KEY AUTO_INCREMENT,
  customer VARCHAR(100) NOT NULL,
  amount DECIMAL(12,2) NOT NULL,
  state ENUM('open','paid','sent') NOT NULL DEFAULT 'open',
  placed TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
);
INSERT INTO shop.orders (customer, amount) VALUES ('Ada', 19.90), ('Grace', 7.50), ('Edsger', 120.00);
CREATE TABLE shop.payments (
  id BIGINT PRIMARY KEY AUTO_INCREMENT,
  order_id BIGINT NOT NULL,
  amount DECIMAL(12,2) NOT NULL
);
INSERT INTO shop.payments (order_id, amount) VALUES (1, 19.90);
CREATE TABLE shop.audit_2026 (at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), text VARCHAR(200) NOT NULL);
CREATE USER connector@'%' IDENTIFIED BY 'connector-password';
GRANT SELECT ON shop.* TO connector@'%';
GRANT REPLICATION SLAVE ON *.* TO connector@'%';
-- Only MySQL without GTIDs needs these two.
GRANT REPLICATION CLIENT ON *.* TO connector@'%';
GRANT LOCK TABLES ON shop.* TO connector@'%';
