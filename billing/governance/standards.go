package governance

// control is one entry of a standard: its number and title.
type control struct{ number, title string }

// standard is a set of controls that the product supports.
type standard struct {
	name  string
	pairs []pair
}

// pair is a control, and what implements it here.
type pair struct {
	control
	here string
}

// standards returns the mapping, which is informative only. Titles are those of the
// standards; SOC 2 criteria have no titles, so their text is abbreviated.
func standards() []standard {
	return []standard{
		{"PCI DSS v4.0", []pair{
			{control{"3.6", "Cryptographic keys used to protect stored account data are secured."}, "the key that seals stored " +
				"credentials"},
			{control{"4.2", "PAN is protected with strong cryptography during transmission."}, "TLS of the listeners and of the database"},
			{control{"7.2", "Access to system components and data is appropriately defined and " +
				"assigned."}, "roles, key policies, access reviews"},
			{control{"8.2", "User identification and related accounts for users and administrators are strictly managed throughout " +
				"an account's lifecycle."}, "principals, grants with expiry"},
			{control{"8.3", "Strong authentication for users and administrators is established and " +
				"managed."}, "login by OpenID Connect, hashed tokens"},
			{control{"8.4", "Multi-factor authentication (MFA) is implemented to secure access into the CDE."}, "login.mfa"},
			{control{"8.6", "Use of application and system accounts and associated authentication factors is " +
				"strictly managed."}, "owner, purpose, rotation and expiry of virtual keys"},
			{control{"10.2", "Audit logs are implemented to support the detection of anomalies and suspicious activity, and the " +
				"forensic analysis of events."}, "audit log, access record"},
			{control{"10.3", "Audit logs are protected from destruction and unauthorized " +
				"modifications."}, "hash chain, signed checkpoints"},
			{control{"10.5", "Audit log history is retained and available for analysis."}, "retention of audit_log"},
			{control{"12.10", "Suspected and confirmed security incidents that could impact the CDE are responded " +
				"to immediately."}, "incidents"},
		}},
		{"ISO/IEC 27001:2022, Annex A", []pair{
			{control{"5.1", "Policies for information security"}, "this document, versions and acknowledgements of the rules"},
			{control{"5.2", "Information security roles and responsibilities"}, "roles"},
			{control{"5.12", "Classification of information"}, "data classes of projects"},
			{control{"5.15", "Access control"}, "key policies, networks, models"},
			{control{"5.16", "Identity management"}, "principals, owners of keys"},
			{control{"5.17", "Authentication information"}, "secrets of keys, sinks, sources of credentials"},
			{control{"5.18", "Access rights"}, "grants, access reviews"},
			{control{"5.23", "Information security for use of cloud services"}, "providers per data class"},
			{control{"5.24", "Information security incident management planning and preparation"}, "the runbook of incidents"},
			{control{"5.26", "Response to information security incidents"}, "incidents"},
			{control{"5.28", "Collection of evidence"}, "sealed bundles, signed reports"},
			{control{"5.33", "Protection of records"}, "append-only tables, retention"},
			{control{"6.3", "Information security awareness, education and training"}, "acknowledgements"},
			{control{"8.2", "Privileged access rights"}, "roles, fresh logins"},
			{control{"8.5", "Secure authentication"}, "login, factors"},
			{control{"8.15", "Logging"}, "log level, access record, audit log"},
			{control{"8.16", "Monitoring activities"}, "alerts"},
			{control{"8.24", "Use of cryptography"}, "hashed secrets, Ed25519 signatures"},
		}},
		{"SOC 2, Trust Services Criteria (2017)", []pair{
			{control{"CC5.3", "Control activities are deployed through policies and procedures"}, "rules, enforced"},
			{control{"CC6.1", "Logical access security over protected information assets"}, "keys, policies, networks"},
			{control{"CC6.2", "Users are registered and authorized before credentials are issued, and removed when " +
				"access is no longer authorized"}, "principals, expiry, revocation"},
			{control{"CC6.7", "Transmission, movement and removal of information is restricted and protected"}, "TLS, client certificates"},
			{control{"CC6.3", "Access is authorized, modified or removed by roles, least privilege and segregation " +
				"of duties"}, "roles, reviews"},
			{control{"CC7.2", "System components are monitored for anomalies"}, "alerts, events"},
			{control{"CC7.3", "Security events are evaluated"}, "events, incidents"},
			{control{"CC7.4", "Identified security incidents are responded to by a defined program"}, "incidents"},
			{control{"CC8.1", "Changes are authorized, documented, tested and approved"}, "versions of the rules, audit log"},
			{control{"CC9.2", "Risks of vendors and business partners are assessed and managed"}, "providers per data class"},
		}},
		{"GDPR (Regulation (EU) 2016/679)", []pair{
			{control{"Art. 5", "Principles relating to processing of personal data"}, "retention, no text of requests in the log"},
			{control{"Art. 15", "Right of access by the data subject"}, "person export"},
			{control{"Art. 17", "Right to erasure ('right to be forgotten')"}, "person erase, pseudonyms in the ledger"},
			{control{"Art. 25", "Data protection by design and by default"}, "data classes, key policies"},
			{control{"Art. 28", "Processor"}, "providers per data class"},
			{control{"Art. 30", "Records of processing activities"}, "ledger, access record"},
			{control{"Art. 32", "Security of processing"}, "the controls of this document"},
			{control{"Art. 33", "Notification of a personal data breach to the supervisory authority"}, "incidents with evidence"},
		}},
		{"CCPA (California Civil Code)", []pair{
			{control{"§ 1798.100", "General Duties of Businesses that Collect Personal Information"}, "retention"},
			{
				control{"§ 1798.105", "Consumers' Right to Delete Personal Information"},
				"person erase: the ledger's pseudonyms, the access record, kept responses",
			},
			{control{"§ 1798.110", "Consumers' Right to Know What Personal Information is Being Collected. Right to Access " +
				"Personal Information"}, "person export"},
			{control{"§ 1798.150", "Personal Information Security Breaches"}, "incidents with evidence"},
		}},
	}
}
