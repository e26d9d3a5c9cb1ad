package app

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

// CheckRules refuses a configuration that breaks the rules in its database. Where there is
// no database yet, or it cannot be asked, there are no rules to check by.
func CheckRules(ctx context.Context, c *config.Config, s governance.Setup) error {
	if _, missing := c.Database.Missing(); missing {
		return nil
	}
	store, err := OpenStore(ctx, c)
	if err != nil {
		return nil //nolint:nilerr // a database that is away is not a fault of the configuration
	}
	defer func() { _ = store.Close() }()
	if store.Ready(ctx) != nil {
		return nil // its tables are older than the rules, or it does not answer
	}
	found, err := manage.Actions{Store: store}.SetupFindings(ctx, s)
	return errors.Join(err, governance.Refusal(found))
}

// lawful refuses what breaks the organisation's rules.
func (s *Service) lawful(ctx context.Context, n *snapshot) error {
	found, err := manage.Actions{Store: s.store}.SetupFindings(ctx, SetupOf(n.cfg, n.catalogue))
	return errors.Join(err, governance.Refusal(found))
}

// reviewEvery is how often it is looked whether access is to be reviewed.
const reviewEvery = time.Minute

// reviewAccess begins reviews of access that are due, and tells of those that are overdue,
// until ctx ends. Of several routers one begins each.
func (s *Service) reviewAccess(ctx context.Context) error {
	for pause := time.Second; Wait(ctx, pause); {
		if !s.ready.up() {
			continue
		}
		pause = reviewEvery
		begun, err := s.Actions().ReviewDue(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("looking whether access is to be reviewed", zap.Error(err))
		case begun:
			s.Log.Info("a review of access was begun")
		}
	}
	return nil
}
