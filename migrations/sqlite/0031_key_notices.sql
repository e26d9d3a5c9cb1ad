-- Nothing to do: only PostgreSQL tells routers what becomes of keys.
SELECT 1;
