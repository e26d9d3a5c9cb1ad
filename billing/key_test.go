package billing

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestKey_Permit(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	nets := func(texts ...string) (list []netip.Prefix) {
		for _, s := range texts {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	tests := map[string]struct {
		key   Key
		model string
		from  string
		want  error
	}{
		"no limits":                     {Key{}, "gpt-4o", "192.0.2.1", nil},
		"revoked":                       {Key{RevokedAt: now.Add(-time.Hour)}, "gpt-4o", "192.0.2.1", ErrRevoked},
		"revoked by a clock ahead":      {Key{RevokedAt: now.Add(time.Hour)}, "gpt-4o", "192.0.2.1", ErrRevoked},
		"revoked before expired":        {Key{RevokedAt: now, ExpiresAt: now}, "gpt-4o", "192.0.2.1", ErrRevoked},
		"expires now":                   {Key{ExpiresAt: now}, "gpt-4o", "192.0.2.1", ErrExpired},
		"expires in a moment":           {Key{ExpiresAt: now.Add(1)}, "gpt-4o", "192.0.2.1", nil},
		"address":                       {Key{AllowedCIDRs: nets("10.0.0.0/8", "192.0.2.0/24")}, "gpt-4o", "192.0.2.1", nil},
		"other address":                 {Key{AllowedCIDRs: nets("10.0.0.0/8")}, "gpt-4o", "192.0.2.1", ErrAddress},
		"v4 in v6":                      {Key{AllowedCIDRs: nets("10.0.0.0/8")}, "gpt-4o", "::ffff:10.1.2.3", nil},
		"network as v4 in v6":           {Key{AllowedCIDRs: nets("::ffff:10.0.0.0/104")}, "gpt-4o", "10.1.2.3", nil},
		"other network as v4 in v6":     {Key{AllowedCIDRs: nets("::ffff:10.0.0.0/104")}, "gpt-4o", "11.1.2.3", ErrAddress},
		"all v6 is not v4":              {Key{AllowedCIDRs: nets("::/0")}, "gpt-4o", "10.1.2.3", ErrAddress},
		"v6":                            {Key{AllowedCIDRs: nets("2001:db8::/32")}, "gpt-4o", "2001:db8::1", nil},
		"v6 with a zone":                {Key{AllowedCIDRs: nets("fe80::/10")}, "gpt-4o", "fe80::1%eth0", nil},
		"no address":                    {Key{AllowedCIDRs: nets("0.0.0.0/0", "::/0")}, "gpt-4o", "", ErrAddress},
		"address before model":          {Key{AllowedCIDRs: nets("10.0.0.0/8"), Models: []string{"x"}}, "gpt-4o", "192.0.2.1", ErrAddress},
		"model":                         {Key{Models: []string{"x", "gpt-4o"}}, "gpt-4o", "", nil},
		"other model":                   {Key{Models: []string{"gpt-4o"}}, "gpt-4o-mini", "", ErrModel},
		"no model":                      {Key{Models: []string{"gpt-4o"}}, "", "", ErrModel},
		"case counts":                   {Key{Models: []string{"gpt-4o"}}, "GPT-4o", "", ErrModel},
		"everything":                    {Key{Models: []string{"*"}}, "a/b/c", "", nil},
		"provider":                      {Key{Models: []string{"openai/*"}}, "openai/gpt-4o", "", nil},
		"provider with slashes inside":  {Key{Models: []string{"openrouter/*"}}, "openrouter/meta/x", "", nil},
		"other provider":                {Key{Models: []string{"openai/*"}}, "openai2/gpt-4o", "", ErrModel},
		"a provider is no model":        {Key{Models: []string{"openai/*"}}, "openai", "", ErrModel},
		"a provider's nothing":          {Key{Models: []string{"openai/*"}}, "openai/", "", ErrModel},
		"a provider's models elsewhere": {Key{Models: []string{"openai/*"}}, "gpt-4o", "", ErrModel},
		"stars match nothing inside":    {Key{Models: []string{"gpt-*"}}, "gpt-4o", "", ErrModel},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var from netip.Addr
			if tt.from != "" {
				from = netip.MustParseAddr(tt.from)
			}
			if err := tt.key.Permit(tt.model, from, now); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
