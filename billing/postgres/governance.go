package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	addRulesSQL  = `INSERT INTO governance_rules (version, rules, sha256, author, reason, made_at) VALUES ($1, $2, $3, $4, $5, $6)`
	listRulesSQL = `
SELECT version, rules, sha256, author, reason, made_at FROM governance_rules ORDER BY version DESC LIMIT $1`
	acknowledgeSQL = `
INSERT INTO governance_acknowledgements (version, owner, actor, at)
SELECT version, $2, $3, $4 FROM governance_rules WHERE version = $1
    ON CONFLICT DO NOTHING`
	listAcknowledgementsSQL = `
SELECT version, owner, actor, at FROM governance_acknowledgements WHERE version = $1 ORDER BY owner`

	addReviewSQL      = `INSERT INTO access_reviews (number, started_at, due_at, started_by) VALUES ($1, $2, $3, $4)`
	addReviewItemsSQL = `
INSERT INTO access_review_items (number, kind, object, holder, facts)
SELECT $1, kind, object, holder, facts FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS i (kind, object, holder, facts)`
	listReviewsSQL = `
SELECT r.number, r.started_at, r.due_at, r.started_by, count(i.object), count(i.object) FILTER (WHERE i.decision IS NULL)
  FROM access_reviews r LEFT JOIN access_review_items i USING (number)
 GROUP BY r.number ORDER BY r.number DESC LIMIT 1000`
	listReviewItemsSQL = `
SELECT number, kind, object, holder, facts, coalesce(decision, ''), decided_at, coalesce(decided_by, ''), coalesce(reason, '')
  FROM access_review_items WHERE number = $1 ORDER BY kind, object`
	decideReviewSQL = `
UPDATE access_review_items SET decision = $4, decided_at = $5, decided_by = $6, reason = $7
 WHERE number = $1 AND kind = $2 AND object = $3 AND decision IS NULL`
)

// mostRules is the maximum number of versions in a list.
const mostRules = 1000

// AddRules implements billing.Governance.
func (s *Store) AddRules(ctx context.Context, r billing.RuleSet, events []billing.Event, notes ...*billing.Change) error {
	err := s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, addRulesSQL, r.Version, r.Rules, r.SHA256, billing.CleanText(r.Author),
			billing.CleanText(r.Reason), r.MadeAt)
		if err == nil && len(events) > 0 {
			_, err = tx.Exec(ctx, writeEventsSQL, eventArgs(events)...)
		}
		return errors.Join(err, note(ctx, tx, notes))
	})
	if code(err) == uniqueViolation {
		err = fmt.Errorf("%w: version %d of the rules", billing.ErrDuplicate, r.Version)
	}
	return err
}

// ListRules implements billing.Governance.
func (s *Store) ListRules(ctx context.Context, most int) ([]billing.RuleSet, error) {
	if most <= 0 || most > mostRules {
		most = mostRules
	}
	return all(ctx, s, func(row pgx.CollectableRow) (r billing.RuleSet, err error) {
		err = row.Scan(&r.Version, &r.Rules, &r.SHA256, &r.Author, &r.Reason, &r.MadeAt)
		r.MadeAt = r.MadeAt.UTC()
		return r, err
	}, listRulesSQL, most)
}

// Acknowledge implements billing.Governance.
func (s *Store) Acknowledge(ctx context.Context, a billing.Acknowledgement, notes ...*billing.Change) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, acknowledgeSQL, a.Version, billing.CleanText(a.Owner), billing.CleanText(a.Actor), a.At)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			return note(ctx, tx, notes)
		}
		var there bool
		err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM governance_rules WHERE version = $1)", a.Version).Scan(&there)
		if err == nil && !there {
			err = &billing.NotFoundError{What: "version", ID: fmt.Sprint(a.Version)}
		}
		return err
	})
}

// ListAcknowledgements implements billing.Governance.
func (s *Store) ListAcknowledgements(ctx context.Context, version int64) ([]billing.Acknowledgement, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (a billing.Acknowledgement, err error) {
		err = row.Scan(&a.Version, &a.Owner, &a.Actor, &a.At)
		a.At = a.At.UTC()
		return a, err
	}, listAcknowledgementsSQL, version)
}

// AddReview implements billing.Reviews.
func (s *Store) AddReview(ctx context.Context, r billing.Review, items []billing.ReviewItem, notes ...*billing.Change) error {
	var columns [4][]string
	for _, i := range items {
		for n, value := range []string{string(i.Kind), i.Object, i.Holder, i.Facts} {
			columns[n] = append(columns[n], value)
		}
	}
	err := s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, addReviewSQL, r.Number, r.StartedAt, r.DueAt, billing.CleanText(r.StartedBy)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, addReviewItemsSQL, r.Number, columns[0], columns[1], columns[2], columns[3])
		return errors.Join(err, note(ctx, tx, notes))
	})
	if code(err) == uniqueViolation {
		err = fmt.Errorf("%w: review %d", billing.ErrDuplicate, r.Number)
	}
	return err
}

// ListReviews implements billing.Reviews.
func (s *Store) ListReviews(ctx context.Context) ([]billing.Review, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (r billing.Review, err error) {
		err = row.Scan(&r.Number, &r.StartedAt, &r.DueAt, &r.StartedBy, &r.Items, &r.Open)
		r.StartedAt, r.DueAt = r.StartedAt.UTC(), r.DueAt.UTC()
		return r, err
	}, listReviewsSQL)
}

// ListReviewItems implements billing.Reviews.
func (s *Store) ListReviewItems(ctx context.Context, number int64) ([]billing.ReviewItem, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (i billing.ReviewItem, err error) {
		var decided *time.Time
		err = row.Scan(&i.Number, &i.Kind, &i.Object, &i.Holder, &i.Facts, &i.Decision, &decided, &i.DecidedBy, &i.Reason)
		i.DecidedAt = utc(decided)
		return i, err
	}, listReviewItemsSQL, number)
}

// DecideReview implements billing.Reviews.
func (s *Store) DecideReview(ctx context.Context, i billing.ReviewItem, notes ...*billing.Change) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, decideReviewSQL, i.Number, i.Kind, i.Object, i.Decision, i.DecidedAt, billing.CleanText(i.DecidedBy),
			billing.CleanText(i.Reason))
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			return note(ctx, tx, notes)
		}
		const thereSQL = "SELECT EXISTS (SELECT FROM access_review_items WHERE number = $1 AND kind = $2 AND object = $3)"
		var there bool
		if err := tx.QueryRow(ctx, thereSQL, i.Number, i.Kind, i.Object).Scan(&there); err != nil {
			return err
		}
		if !there {
			return &billing.NotFoundError{What: "review", ID: i.Object}
		}
		return billing.ReviewDecided(i.Object)
	})
}
