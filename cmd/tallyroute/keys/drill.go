package keys

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

type keysDrill struct {
	cli.Format
	Public []string `help:"Address of a router, such as http://router-1:8080; repeatable. Default: this configuration's." placeholder:"URL"`
}

// drillStep is a step of a drill, with the time until the last router behaved as expected.
type drillStep struct {
	Step string  `json:"step"`
	MS   float64 `json:"ms"`
}

// Run rehearses the life of a key. The key is archived at the end, whatever happens.
func (c keysDrill) Run(a *cli.Context) error {
	return a.WithKeys(func(m manage.Actions, _ *config.Config) error {
		base, by, err := a.Reach("")
		if err != nil {
			return err
		}
		d := drill{Context: a, manage: m, routers: c.Public, by: by}
		if len(d.routers) == 0 {
			d.routers = []string{base}
		} else if d.by, err = a.Transport(); err != nil {
			return err
		}
		err = d.run()
		t := cli.Table{Header: []string{"STEP", "MS"}, Records: d.steps}
		for _, s := range d.steps {
			t.Add(cli.Text(s.Step), cli.Figure(fmt.Sprintf("%.1f", s.MS)))
		}
		return errors.Join(err, t.Write(a.Stdout, c.Output))
	})
}

// drill is a drill in progress.
type drill struct {
	*cli.Context
	manage  manage.Actions
	routers []string
	by      http.RoundTripper
	steps   []drillStep
}

func (d *drill) run() (err error) {
	who := cli.By("drill")
	key, first, err := d.manage.CreateKey(d.Ctx, manage.KeyRequest{
		Name: "drill", Team: "drill", Project: "drill", Purpose: "rehearses the life of a key", ExpiresAt: time.Now().Add(time.Hour),
	}, who)
	if err != nil {
		return err
	}
	defer func() {
		_, gone := d.manage.ArchiveKey(context.WithoutCancel(d.Ctx), key.ID, manage.Ending{}, who)
		err = errors.Join(err, gone)
	}()
	if err := d.until("issued: accepted by every router", first, http.StatusOK); err != nil {
		return err
	}
	fresh, err := d.manage.RotateKey(d.Ctx, key.ID, manage.RotateRequest{Overlap: time.Hour}, who)
	if err != nil {
		return err
	}
	if err := d.until("rotated: the new secret is accepted", fresh.Secret, http.StatusOK); err != nil {
		return err
	}
	if err := d.until("the old secret is accepted as well", first, http.StatusOK); err != nil {
		return err
	}
	if _, err := d.manage.RevokeKey(d.Ctx, key.ID, manage.Ending{}, who); err != nil {
		return err
	}
	if err := d.until("revoked: the new secret is refused", fresh.Secret, http.StatusUnauthorized); err != nil {
		return err
	}
	return d.until("the old secret is refused as well", first, http.StatusUnauthorized)
}

// Time limits of a step.
const (
	drillPatience = 15 * time.Second
	drillPause    = 5 * time.Millisecond
)

// until keeps asking all routers at once until each answers with the given status, and
// records how long that took.
func (d *drill) until(step string, secret billing.Secret, status int) error {
	began := time.Now()
	all, ctx := errgroup.WithContext(d.Ctx)
	ctx, cancel := context.WithTimeout(ctx, drillPatience)
	defer cancel()
	for _, router := range d.routers {
		all.Go(func() error {
			for {
				got, err := keyStatus(ctx, d.by, router, secret)
				if err == nil && got == status {
					return nil
				}
				if ctx.Err() != nil {
					return fmt.Errorf("%s: %s still answers %d after %s: %w", step, router, got, drillPatience, errors.Join(err, ctx.Err()))
				}
				select {
				case <-time.After(drillPause):
				case <-ctx.Done():
				}
			}
		})
	}
	err := all.Wait()
	d.steps = append(d.steps, drillStep{step, float64(time.Since(began).Microseconds()) / 1000})
	return err
}

// keyStatus asks a router about the key itself, which costs nothing.
func keyStatus(ctx context.Context, by http.RoundTripper, router string, secret billing.Secret) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(router, "/")+"/v1/key", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+secret.Reveal())
	resp, err := (&http.Client{Transport: by}).Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, nil
}
