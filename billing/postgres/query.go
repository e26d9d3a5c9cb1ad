package postgres

import (
	"strconv"
	"strings"
)

// query is a statement that is put together of conditions. Each ? is the next argument.
type query struct {
	sql  string
	args []any
}

func (q *query) add(sql string, args ...any) {
	for _, arg := range args {
		before, after, _ := strings.Cut(sql, "?")
		q.args = append(q.args, arg)
		q.sql += before + "$" + strconv.Itoa(len(q.args))
		sql = after
	}
	q.sql += sql
}

// where adds a condition to those that there are.
func (q *query) where(sql string, args ...any) { q.add(" AND "+sql, args...) }
