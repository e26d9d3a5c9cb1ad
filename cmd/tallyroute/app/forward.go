package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// forwardEvery is how often it is looked for records to send.
const forwardEvery = time.Second

// forwardAudit sends the audit log to its destinations, until ctx ends. Of several routers
// one sends to each, and one that does not answer holds up no other.
func (s *Service) forwardAudit(ctx context.Context) error {
	var busy sending
	defer busy.all.Wait()
	name, at := s.routerName()+" "+billing.NewID("run_"), make(map[string]*manage.Forwarding)
	for Wait(ctx, forwardEvery) {
		if !s.ready.up() {
			continue
		}
		for destination, to := range s.now().forwarders {
			if busy.has(destination) {
				continue
			}
			f := at[destination]
			if f == nil {
				f = &manage.Forwarding{Name: destination, Router: name}
				at[destination] = f
			}
			f.To = to
			end := busy.begin(destination)
			busy.all.Go(func() {
				defer end()
				s.forwardTo(ctx, f)
			})
		}
	}
	return nil
}

func (s *Service) forwardTo(ctx context.Context, f *manage.Forwarding) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = s.Actions().ForwardAudit(ctx, f); err != nil && ctx.Err() == nil {
			s.Log.Warn("sending the audit log", zap.String("destination", f.Name), zap.Error(err))
		}
	}
}
