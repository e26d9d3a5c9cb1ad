// Package notify sends alerts to channels: webhooks, Slack, Microsoft Teams, PagerDuty and
// e-mail. Sending an alert twice is harmless: its ID stays the same.
package notify
