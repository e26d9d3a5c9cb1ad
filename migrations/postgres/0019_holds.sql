-- A hold may grow with each attempt: several times the most that one reserves.
ALTER TABLE holds DROP CONSTRAINT holds_nano_check;
ALTER TABLE holds ADD CONSTRAINT holds_nano_check CHECK (nano BETWEEN 0 AND 1000000000000000000);
