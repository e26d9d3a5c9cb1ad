package notify

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/wneessen/go-mail"
)

// Owner stands, in a list of addresses, for the person responsible for the alert's object.
const Owner = "owner"

// Mail sends alerts by SMTP.
type Mail struct {
	Server SMTP
	To     []string // addresses, or Owner
}

// SMTP is a mail server.
type SMTP struct {
	Host     string
	Port     int
	TLS      string // starttls, tls or none
	User     string // "" if no login is needed
	Password string
	From     string
}

// Notify sends an alert. Its Message-ID is derived from the alert's ID.
func (m Mail) Notify(ctx context.Context, n Message) error {
	to := m.recipients(n)
	if len(to) == 0 {
		return ErrNobody
	}
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(m.Server.From), msg.To(to...)); err != nil {
		return err
	}
	_, domain, _ := strings.Cut(strings.Trim(m.Server.From, "<> "), "@")
	msg.SetMessageIDWithValue(n.ID + "@" + strings.TrimRight(domain, ">"))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Tallyroute-Alert", n.ID)
	msg.Subject("[" + n.Severity + "] " + n.Title)
	msg.SetDate()
	msg.SetBodyString(mail.TypeTextPlain, body(n)+"\n")
	client, err := mail.NewClient(m.Server.Host, m.Server.options()...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, msg)
}

func (m Mail) recipients(n Message) []string {
	var to []string
	for _, address := range m.To {
		if address == Owner {
			address = n.Owner
		}
		if strings.Contains(address, "@") && !slices.Contains(to, address) {
			to = append(to, address)
		}
	}
	return to
}

func (s SMTP) options() []mail.Option {
	all := []mail.Option{mail.WithPort(s.Port), mail.WithTimeout(patience)}
	switch s.TLS {
	case "none":
		all = append(all, mail.WithTLSPolicy(mail.NoTLS))
	case "tls":
		all = append(all, mail.WithSSL())
	default:
		all = append(all, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.User != "" {
		all = append(all, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.User), mail.WithPassword(s.Password))
	}
	return all
}
