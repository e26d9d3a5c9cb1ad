package sqlite

// query is a statement built up condition by condition.
type query struct {
	sql  string
	args []any
}

func (q *query) add(sql string, args ...any) {
	q.sql += sql
	q.args = append(q.args, args...)
}

// where adds a condition to the existing ones.
func (q *query) where(sql string, args ...any) { q.add(" AND "+sql, args...) }
