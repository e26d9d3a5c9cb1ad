package billing

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestKeyIsInForceUntilRevokedOrExpired(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, tt := range map[string]struct {
		key  Key
		want error
	}{
		"no limits":                {Key{}, nil},
		"revoked":                  {Key{RevokedAt: now.Add(-time.Hour)}, ErrRevoked},
		"revoked by a clock ahead": {Key{RevokedAt: now.Add(time.Hour)}, ErrRevoked},
		"revoked before expired":   {Key{RevokedAt: now, ExpiresAt: now}, ErrRevoked},
		"expires now":              {Key{ExpiresAt: now}, ErrExpired},
		"expires in a moment":      {Key{ExpiresAt: now.Add(1)}, nil},
	} {
		if err := tt.key.InForce(now); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

func TestKeyIsUsableFromItsNetworksOnly(t *testing.T) {
	nets := func(texts ...string) (list []netip.Prefix) {
		for _, s := range texts {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	for name, tt := range map[string]struct {
		allowed []netip.Prefix
		from    string
		want    bool
	}{
		"no limits":                 {nil, "192.0.2.1", true},
		"address":                   {nets("10.0.0.0/8", "192.0.2.0/24"), "192.0.2.1", true},
		"other address":             {nets("10.0.0.0/8"), "192.0.2.1", false},
		"v4 in v6":                  {nets("10.0.0.0/8"), "::ffff:10.1.2.3", true},
		"network as v4 in v6":       {nets("::ffff:10.0.0.0/104"), "10.1.2.3", true},
		"other network as v4 in v6": {nets("::ffff:10.0.0.0/104"), "11.1.2.3", false},
		"all v6 is not v4":          {nets("::/0"), "10.1.2.3", false},
		"v6":                        {nets("2001:db8::/32"), "2001:db8::1", true},
		"v6 with a zone":            {nets("fe80::/10"), "fe80::1%eth0", true},
		"no address":                {nets("0.0.0.0/0", "::/0"), "", false},
	} {
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		key := Key{AllowedCIDRs: tt.allowed}
		if got := key.AllowsAddress(from); got != tt.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestKeyMayUseTheModelsThatItNames(t *testing.T) {
	for name, tt := range map[string]struct {
		models []string
		model  string
		want   bool
	}{
		"no limits":                     {nil, "gpt-4o", true},
		"model":                         {[]string{"x", "gpt-4o"}, "gpt-4o", true},
		"other model":                   {[]string{"gpt-4o"}, "gpt-4o-mini", false},
		"no model":                      {[]string{"gpt-4o"}, "", false},
		"case counts":                   {[]string{"gpt-4o"}, "GPT-4o", false},
		"everything":                    {[]string{"*"}, "a/b/c", true},
		"provider":                      {[]string{"openai/*"}, "openai/gpt-4o", true},
		"provider with slashes inside":  {[]string{"openrouter/*"}, "openrouter/meta/x", true},
		"other provider":                {[]string{"openai/*"}, "openai2/gpt-4o", false},
		"a provider is no model":        {[]string{"openai/*"}, "openai", false},
		"a provider's models elsewhere": {[]string{"openai/*"}, "gpt-4o", false},
		"a beginning":                   {[]string{"gpt-*"}, "gpt-4o", true},
		"an end":                        {[]string{"*-mini"}, "gpt-4o", false},
		"a group":                       {[]string{"@small"}, "gpt-4o-mini", true},
		"not in the group":              {[]string{"@small"}, "gpt-4o", false},
		"no such group":                 {[]string{"@large"}, "gpt-4o", false},
	} {
		key := Key{Models: tt.models}
		if got := key.AllowsModel(tt.model, map[string][]string{"small": {"*-mini"}}); got != tt.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
