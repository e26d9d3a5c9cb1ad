package app

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/router"
	"tallyroute/router/server"
)

// refusedEvery is how often what was refused is written down.
const refusedEvery = 10 * time.Second

// refusals counts the requests that were answered with an error of our own.
type refusals struct {
	billing.RefusalCount
	clock func() time.Time
}

// Observe counts a request that was refused. One that was tried is in the ledger
// instead, and one whose client has gone got no answer.
func (r *refusals) Observe(rec router.Record) {
	if rec.Event != router.EventRequest || rec.Refusal == "" || len(rec.Attempts) > 0 || errors.Is(rec.Err, router.ErrClientGone) {
		return
	}
	r.Add(billing.Refused{KeyID: rec.KeyID, Model: rec.RequestedModel, Code: server.ErrorCode(rec.Err)}, r.clock())
}

// flushRefused writes down what was refused, until ctx ends, and once more then.
func (s *Service) flushRefused(ctx context.Context) error {
	for Wait(ctx, refusedEvery) {
		s.writeRefused(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
	defer cancel()
	s.writeRefused(last)
	return nil
}

// writeRefused keeps what the database does not take for the next time.
func (s *Service) writeRefused(ctx context.Context) {
	list := s.refused.Take()
	if len(list) == 0 {
		return
	}
	if err := s.store.AddRefusals(ctx, list); err != nil {
		s.refused.Return(list)
		s.Log.Warn("writing down what was refused", zap.Error(err))
	}
}
