package sqlite

import (
	"context"
	"strconv"

	"tallyroute/billing"
)

const (
	addRules    = `INSERT INTO governance_rules (version, rules, sha256, author, reason, made_at) VALUES (?, ?, ?, ?, ?, ?)`
	listRules   = `SELECT version, rules, sha256, author, reason, made_at FROM governance_rules ORDER BY version DESC LIMIT ?`
	countRules  = `SELECT count(*) FROM governance_rules WHERE version = ?`
	acknowledge = `INSERT INTO governance_acknowledgements (version, owner, actor, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`

	listAcknowledgements = `SELECT version, owner, actor, at FROM governance_acknowledgements WHERE version = ? ORDER BY owner`

	addReview     = `INSERT INTO access_reviews (number, started_at, due_at, started_by) VALUES (?, ?, ?, ?)`
	addReviewItem = `INSERT INTO access_review_items (number, kind, object, holder, facts) VALUES (?, ?, ?, ?, ?)`
	listReviews   = `SELECT r.number, r.started_at, r.due_at, r.started_by, count(i.object),
  count(i.object) FILTER (WHERE i.decision IS NULL)
FROM access_reviews r LEFT JOIN access_review_items i USING (number)
GROUP BY r.number ORDER BY r.number DESC LIMIT 1000`
	listReviewItems = `SELECT number, kind, object, holder, facts, coalesce(decision, ''), decided_at, coalesce(decided_by, ''),
  coalesce(reason, '')
FROM access_review_items WHERE number = ? ORDER BY kind, object`
	decideReview = `UPDATE access_review_items SET decision = ?4, decided_at = ?5, decided_by = ?6, reason = ?7
WHERE number = ?1 AND kind = ?2 AND object = ?3 AND decision IS NULL`
	countReviewItem = `SELECT count(*) FROM access_review_items WHERE number = ? AND kind = ? AND object = ?`
)

// mostRules is the largest number of versions returned in one list.
const mostRules = 1000

// AddRules implements billing.Governance.
func (s *Store) AddRules(ctx context.Context, r billing.RuleSet, events []billing.Event, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, addRules, r.Version, r.Rules, r.SHA256, billing.CleanText(r.Author), billing.CleanText(r.Reason),
			stamp(r.MadeAt))
		if err != nil {
			return err
		}
		if err := s.tell(ctx, tx, events...); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// ListRules implements billing.Governance.
func (s *Store) ListRules(ctx context.Context, most int) (list []billing.RuleSet, err error) {
	if most <= 0 || most > mostRules {
		most = mostRules
	}
	err = s.read.rows(ctx, listRules, []any{most}, func(scan scanner) error {
		var r billing.RuleSet
		err := scan(&r.Version, &r.Rules, &r.SHA256, &r.Author, &r.Reason, instant{&r.MadeAt})
		list = append(list, r)
		return err
	})
	return list, err
}

// Acknowledge implements billing.Governance.
func (s *Store) Acknowledge(ctx context.Context, a billing.Acknowledgement, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var there int
		if _, err := tx.row(ctx, countRules, []any{a.Version}, &there); err != nil {
			return err
		}
		if there == 0 {
			return &billing.NotFoundError{What: "version", ID: strconv.FormatInt(a.Version, 10)}
		}
		n, err := tx.exec(ctx, acknowledge, a.Version, billing.CleanText(a.Owner), billing.CleanText(a.Actor), stamp(a.At))
		if err != nil || n == 0 {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// ListAcknowledgements implements billing.Governance.
func (s *Store) ListAcknowledgements(ctx context.Context, version int64) (list []billing.Acknowledgement, err error) {
	err = s.read.rows(ctx, listAcknowledgements, []any{version}, func(scan scanner) error {
		var a billing.Acknowledgement
		err := scan(&a.Version, &a.Owner, &a.Actor, instant{&a.At})
		list = append(list, a)
		return err
	})
	return list, err
}

// AddReview implements billing.Reviews.
func (s *Store) AddReview(ctx context.Context, r billing.Review, items []billing.ReviewItem, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, addReview, r.Number, stamp(r.StartedAt), stamp(r.DueAt), billing.CleanText(r.StartedBy))
		if err != nil {
			return err
		}
		for _, i := range items {
			if _, err := tx.exec(ctx, addReviewItem, r.Number, string(i.Kind), i.Object, i.Holder, i.Facts); err != nil {
				return err
			}
		}
		return note(ctx, tx, notes)
	})
}

// ListReviews implements billing.Reviews.
func (s *Store) ListReviews(ctx context.Context) (list []billing.Review, err error) {
	err = s.read.rows(ctx, listReviews, nil, func(scan scanner) error {
		var r billing.Review
		err := scan(&r.Number, instant{&r.StartedAt}, instant{&r.DueAt}, &r.StartedBy, &r.Items, &r.Open)
		list = append(list, r)
		return err
	})
	return list, err
}

// ListReviewItems implements billing.Reviews.
func (s *Store) ListReviewItems(ctx context.Context, number int64) (list []billing.ReviewItem, err error) {
	err = s.read.rows(ctx, listReviewItems, []any{number}, func(scan scanner) error {
		var i billing.ReviewItem
		err := scan(&i.Number, &i.Kind, &i.Object, &i.Holder, &i.Facts, &i.Decision, instant{&i.DecidedAt}, &i.DecidedBy, &i.Reason)
		list = append(list, i)
		return err
	})
	return list, err
}

// DecideReview implements billing.Reviews.
func (s *Store) DecideReview(ctx context.Context, i billing.ReviewItem, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, decideReview, i.Number, string(i.Kind), i.Object, string(i.Decision), stamp(i.DecidedAt),
			billing.CleanText(i.DecidedBy), billing.CleanText(i.Reason))
		if err != nil {
			return err
		}
		if n == 1 {
			return note(ctx, tx, notes)
		}
		var there int
		if _, err := tx.row(ctx, countReviewItem, []any{i.Number, string(i.Kind), i.Object}, &there); err != nil {
			return err
		}
		if there == 0 {
			return &billing.NotFoundError{What: "review", ID: i.Object}
		}
		return billing.ReviewDecided(i.Object)
	})
}
