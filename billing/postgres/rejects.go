package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// rejectArgs returns rejected rows as arguments of postSQL and, separately, how many
// requests each of them counts as.
func rejectArgs(rejects []billing.Reject) (args []any, requests []int64, err error) {
	n := len(rejects)
	var texts [5][]string // request, reason, key, project, team
	for i := range texts {
		texts[i] = make([]string, n)
	}
	attempts, spends, times := make([]int, n), make([][]byte, n), make([]time.Time, n)
	tokens, nano := make([]int64, n), make([]int64, n)
	requests = make([]int64, n)
	for i, r := range rejects {
		o := r.Row.Owner
		for j, text := range []string{r.Row.RequestID, r.Reason, string(o.KeyID), o.ProjectID, o.TeamID} {
			texts[j][i] = billing.CleanText(text)
		}
		raw, err := json.Marshal(r.Row)
		if err != nil {
			return nil, nil, fmt.Errorf("billing/postgres: %w", err)
		}
		used := r.Used()
		attempts[i], spends[i], times[i], tokens[i], nano[i] = r.Row.Attempt, raw, r.Row.OccurredAt, used.Tokens, int64(used.Money)
		requests[i] = used.Requests
	}
	return []any{texts[0], attempts, texts[1], spends, times, texts[2], texts[3], texts[4], tokens, nano}, requests, nil
}

func rejectedRows(p billing.Posting) []billing.Spend {
	rows := make([]billing.Spend, len(p.Rejects))
	for i, r := range p.Rejects {
		rows[i] = r.Row
	}
	return rows
}

const selectRejectsSQL = `
SELECT rejected_at, reason, spend FROM spend_rejects
 WHERE booked_at IS NULL AND ($1 = '' OR request_id = $1)
 ORDER BY id`

// ListRejects implements billing.Rejects.
func (s *Store) ListRejects(ctx context.Context, requestID string) ([]billing.RejectedRow, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (r billing.RejectedRow, err error) {
		var raw []byte
		if err := row.Scan(&r.At, &r.Reason, &raw); err != nil {
			return r, err
		}
		r.At = r.At.UTC()
		return r, json.Unmarshal(raw, &r.Row)
	}, selectRejectsSQL, billing.CleanText(requestID))
}

// BookRejects implements billing.Rejects. Posting a rejected row books it.
func (s *Store) BookRejects(ctx context.Context, requestID, actor string, notes ...*billing.Change) (int, error) {
	waiting, err := s.ListRejects(ctx, requestID)
	if err != nil {
		return 0, err
	}
	if requestID == "" || len(waiting) == 0 {
		return 0, &billing.NotFoundError{What: "reject", ID: requestID}
	}
	var p billing.Posting
	for _, r := range waiting {
		p.Rows = append(p.Rows, r.Row)
	}
	_, err = s.post(ctx, p, actor, notes...)
	return len(p.Rows), err
}
