-- Budgets of names are not among those that a row of the ledger finds by its owners.
DROP INDEX budgets_scope;
CREATE INDEX budgets_scope ON budgets (scope, scope_id) WHERE parent_id IS NULL;
