package people

import (
	"fmt"
	"strconv"
	"strings"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

// Reviews is "tallyroute reviews": reviews of who has access to what.
type Reviews struct {
	List   reviewsList   `cmd:"" help:"List reviews of access, newest first."`
	Show   reviewsShow   `cmd:"" help:"Show the items of a review, and how each was used."`
	Begin  reviewsBegin  `cmd:"" help:"Begin a review of all keys and grants now."`
	Decide reviewsDecide `cmd:"" help:"Keep, narrow or revoke a key or a grant of a review."`
}

type reviewsList struct{ cli.Format }

// Run lists the reviews.
func (c reviewsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.ReviewView](a.Ctx, r, "/reviews", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"REVIEW", "STATUS", "STARTED", "BY", "DUE", "ITEMS", "OPEN"}, Records: all}
		for _, v := range all {
			t.Add(cli.Number(v.Number), cli.Text(v.Status), cli.Text(cli.Value(v.StartedAt)), cli.Text(v.StartedBy),
				cli.Text(cli.Value(v.DueAt)),
				cli.Number(int64(v.Items)), cli.Number(int64(v.Open)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type reviewsShow struct {
	cli.Format
	Review int64 `arg:"" help:"The number of the review." placeholder:"REVIEW"`
}

func reviewPath(number int64, more ...string) string {
	return "/reviews" + adminapi.Path(append([]string{strconv.FormatInt(number, 10)}, more...)...)
}

// Run shows the items.
func (c reviewsShow) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.ReviewWithItems](a.Ctx, r, adminapi.Get(reviewPath(c.Review), nil))
		if err != nil {
			return err
		}
		return printItems(a, c.Output, v.Data)
	})
}

func printItems(a *cli.Context, how string, items []manage.ReviewItemView) error {
	t := cli.Table{Header: []string{"KIND", "ID", "NAME", "OWNER", "MAY", "LAST USED", "USED", "DECISION", "BY"}, Records: items}
	for _, i := range items {
		t.Add(cli.Text(string(i.Kind)), cli.Text(i.Object), cli.Text(i.Facts.Name), cli.Text(i.Facts.Owner), cli.Text(few(i.Facts.May)),
			cli.Text(cli.Value(i.Facts.LastUsedAt)), cli.Text(few(i.Facts.Used)), cli.Text(cli.Value(i.Decision)),
			cli.Text(cli.Value(i.DecidedBy)))
	}
	return t.Write(a.Stdout, how)
}

// few joins the first three texts, for a table; JSON has all of them.
func few(texts []string) string {
	if len(texts) <= 3 {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:3], ", "), len(texts)-3)
}

type reviewsBegin struct {
	cli.Format
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run starts the review.
func (c reviewsBegin) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.ReviewWithItems](a.Ctx, r, adminapi.Post("/reviews", cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		if c.Output == "table" {
			fmt.Fprintf(a.Stdout, "Review %d is open until %s: %d items.\n", v.Number, cli.Value(v.DueAt), v.Items)
		}
		return printItems(a, c.Output, v.Data)
	})
}

type reviewsDecide struct {
	Review  int64           `arg:"" help:"The number of the review." placeholder:"REVIEW"`
	Object  string          `arg:"" help:"The id of the key or of the grant." placeholder:"ID"`
	As      string          `required:"" enum:"keep,narrow,revoke" help:"${enum}." placeholder:"DECISION"`
	Models  []string        `help:"Models that a narrowed key may still request." placeholder:"A,B"`
	Network []config.Prefix `help:"Networks from which a narrowed key may still be used." placeholder:"CIDR"`
	Role    string          `help:"The role that a narrowed grant gives instead." placeholder:"ROLE"`
	Reason  string          `required:"" help:"Why, for the record." placeholder:"TEXT"`
}

// Run decides on the item.
func (c reviewsDecide) Run(a *cli.Context) error {
	kind := "key"
	if strings.HasPrefix(c.Object, "grant_") {
		kind = "grant"
	}
	body := cli.Fields{"kind": kind, "object": c.Object, "decision": c.As, "reason": c.Reason, "models": c.Models, "role": c.Role}
	if len(c.Network) > 0 {
		body["networks"] = c.Network
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.ReviewItemView](a.Ctx, r, adminapi.Post(reviewPath(c.Review, "decide"), body))
		if err == nil {
			_, err = fmt.Fprintf(a.Stdout, "%s: %s\n", v.Object, cli.Value(v.Decision))
		}
		return err
	})
}
