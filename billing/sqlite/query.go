package sqlite

// query is a statement that is put together of conditions.
type query struct {
	sql  string
	args []any
}

func (q *query) add(sql string, args ...any) {
	q.sql += sql
	q.args = append(q.args, args...)
}

// where adds a condition to those that there are.
func (q *query) where(sql string, args ...any) { q.add(" AND "+sql, args...) }
