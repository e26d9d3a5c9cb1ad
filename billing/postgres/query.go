package postgres

import (
	"strconv"
	"strings"
)

// query builds a statement from conditions. Each ? stands for the next argument.
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

// where adds another condition.
func (q *query) where(sql string, args ...any) { q.add(" AND "+sql, args...) }
