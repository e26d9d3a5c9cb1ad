package manage

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tallyroute/billing"
	"tallyroute/billing/governance"
)

// Limits on the size of what a key contains.
const (
	maxName    = 100 // bytes
	maxReason  = 250
	maxModels  = 200
	maxModel   = 256 // bytes
	maxRanges  = 100
	maxTags    = 16
	maxTagName = 64 // bytes
	maxTag     = 256

	maxPurpose      = 250
	maxAddress      = 250
	mostRotateEvery = 3650 * 24 * time.Hour
)

func invalid(field, format string, args ...any) *billing.FieldError {
	return &billing.FieldError{Field: field, Code: "invalid_value", Detail: fmt.Sprintf(format, args...)}
}

func checkOwner(r KeyRequest) error {
	var faults []error
	for _, f := range []struct{ field, name string }{{"project", r.Project}, {"team", r.Team}, {"cost_center", r.CostCenter}} {
		if f.name != "" && !isName(f.name, maxName) {
			faults = append(faults, invalid(f.field, "must be plain text of at most %d bytes", maxName))
		}
	}
	if r.Environment != "" && (!slices.Contains(governance.Environments(), r.Environment)) {
		faults = append(faults, invalid("environment", "must be prod, staging or dev"))
	}
	return errors.Join(faults...)
}

func checkExpiry(t, now time.Time) error {
	if !t.IsZero() && !t.After(now) {
		return invalid("expires_at", "must be in the future")
	}
	return nil
}

// check refuses a reason that is too long to store.
func (by By) check() error {
	if len(by.Reason) > maxReason {
		return invalid("reason", "must have at most %d bytes", maxReason)
	}
	return nil
}

// needsReason refuses an action without a reason.
func (by By) needsReason() error {
	if strings.TrimSpace(by.Reason) == "" {
		return invalid("reason", "must say why")
	}
	return by.check()
}

// mustName is the error for an empty list: the result of a filter that found nothing must
// not open up everything.
const mustName = "must name one; null is all"

// nothingSaid refuses a change that changes nothing.
func nothingSaid() error { return invalid("", "say what is to be different") }

// check reports every fault in what a key may and may not do.
func (a Actions) check(k *billing.Key) error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, invalid(field, format, args...))
	}
	if !isName(k.Name, maxName) {
		fault("name", "must be plain text of 1 to %d bytes", maxName)
	}
	if k.AllowedCIDRs != nil && len(k.AllowedCIDRs) == 0 {
		fault("allowed_cidrs", mustName)
	}
	if len(k.AllowedCIDRs) > maxRanges {
		fault("allowed_cidrs", "must have at most %d entries", maxRanges)
	}
	for n, p := range k.AllowedCIDRs {
		if !p.IsValid() {
			fault(fmt.Sprintf("allowed_cidrs[%d]", n), "must be a range such as 10.0.0.0/8")
		}
	}
	if k.Purpose != "" && !isName(k.Purpose, maxPurpose) {
		fault("purpose", "must be plain text of at most %d bytes", maxPurpose)
	}
	if !isAddress(k.Address) {
		fault("owner", "must be an address such as ann@example.com")
	}
	if !slices.Contains(billing.Sensitivities(), k.Sensitivity) {
		fault("sensitivity", "must be critical, high, normal or low")
	}
	if k.Client != billing.ClientServer && k.Client != billing.ClientBrowser {
		fault("client", "must be server or browser")
	}
	if k.RotateEvery < 0 || (k.RotateEvery > 0 && k.RotateEvery < time.Hour) || k.RotateEvery > mostRotateEvery {
		fault("rotate_every", "must be between 1h and 3650d")
	}
	for n, b := range k.Budgets {
		if err := b.Validate(); err != nil && b.Scope == billing.ScopeKey && b.Period.Passes() {
			faults = append(faults, ofLimits(b.Period, err))
		} else if err != nil {
			fault(fmt.Sprintf("budgets[%d]", n), "%s", strings.ReplaceAll(err.Error(), "billing: ", ""))
		}
		if slices.ContainsFunc(k.Budgets[:n], func(o billing.Budget) bool { return b.Scope == billing.ScopeKey && b.Same(o) }) {
			fault(fmt.Sprintf("budgets[%d]", n), "is the second per %s: a key has one for each kind of period", b.Period)
		}
	}
	return errors.Join(append(faults, a.checkModels(k.Models), checkTags(k.Tags))...)
}

// ofLimits renames the fields in a budget's faults to the key's shorthand fields for them.
func ofLimits(p billing.Period, err error) error {
	var faults []error
	for _, e := range faultsOf(err) {
		f := *e
		switch {
		case p == billing.PeriodConcurrent:
			f.Field = "limits.concurrent_requests"
		case f.Field == "requests" || f.Field == "tokens":
			f.Field = "limits." + f.Field + "_per_minute"
		default:
			f.Field = "budgets"
		}
		faults = append(faults, &f)
	}
	return errors.Join(faults...)
}

// faultsOf returns the faults joined in an error.
func faultsOf(err error) (list []*billing.FieldError) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			list = append(list, faultsOf(e)...)
		}
		return list
	}
	var f *billing.FieldError
	if errors.As(err, &f) {
		list = append(list, f)
	}
	return list
}

func (a Actions) checkModels(models []string) error {
	var faults []error
	if models != nil && len(models) == 0 {
		faults = append(faults, invalid("models", mustName))
	}
	if len(models) > maxModels {
		faults = append(faults, invalid("models", "must have at most %d entries", maxModels))
	}
	for n, m := range models {
		field := fmt.Sprintf("models[%d]", n)
		if !isName(m, maxModel) {
			faults = append(faults, invalid(field, "must be plain text of 1 to %d bytes", maxModel))
			continue
		}
		if group, named := strings.CutPrefix(m, "@"); named {
			if a.groups() != nil && a.groups()[group] == nil {
				faults = append(faults, invalid(field, "is a group %q, which model_groups of the configuration lacks", m))
			}
			continue
		}
		if a.KnownModel == nil || m == "*" {
			continue
		}
		if nearest, known := a.KnownModel(m); !known {
			e := &billing.FieldError{Field: field, Code: "unknown_model", Detail: fmt.Sprintf("no model or alias %q", m)}
			if nearest != "" {
				e.Detail += fmt.Sprintf(", did you mean %q?", nearest)
			}
			faults = append(faults, e)
		}
	}
	return errors.Join(faults...)
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid("tags", "must have at most %d entries", maxTags)
	}
	for name, value := range tags {
		if !isName(name, maxTagName) || (value != "" && !isName(value, maxTag)) {
			return invalid("tags", "must be plain text: names of 1 to %d bytes, values of at most %d", maxTagName, maxTag)
		}
	}
	return nil
}

// isAddress reports whether s is a mail address or empty.
func isAddress(s string) bool {
	at, err := mail.ParseAddress(s)
	return s == "" || (err == nil && at.Address == s && len(s) <= maxAddress)
}

// isName reports whether s is plain text on one line that is safe to show anywhere.
func isName(s string, most int) bool {
	return s != "" && len(s) <= most && strings.TrimSpace(s) == s && utf8.ValidString(s) &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// noSecret refuses a secret passed as an id.
func noSecret(id string) error {
	if !strings.HasPrefix(id, "sk-") {
		return nil
	}
	return invalid("id", "must be an id such as key_…; give a secret to tallyroute keys find, on its standard input")
}
