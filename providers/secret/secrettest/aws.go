package secrettest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// AWS fakes a Secrets Manager. It checks signatures as AWS documents them.
type AWS struct {
	Server
	KeyID, Key, Session, Region string
	Secrets                     map[string]*AWSSecret
	Before                      func(action string) // called before an action, under the lock
}

// AWSSecret is one secret with its versions and their stages.
type AWSSecret struct {
	Versions map[string]string
	Stages   map[string]string // stage → version
	Deleted  bool
}

// NewAWS starts one in eu-west-1.
func NewAWS(t testing.TB) *AWS {
	a := &AWS{KeyID: "AKIDTEST", Key: "test-key", Region: "eu-west-1", Secrets: map[string]*AWSSecret{}, Before: func(string) {}}
	a.serve(t, a.answer)
	return a
}

// Put makes text the current version.
func (a *AWS) Put(name, version, text string) {
	a.Do(func() { a.put(name, version, text, "AWSCURRENT") })
}

func (a *AWS) put(name, version, text, stage string) {
	s := a.Secrets[name]
	if s == nil {
		s = &AWSSecret{Versions: map[string]string{}, Stages: map[string]string{}}
		a.Secrets[name] = s
	}
	s.Versions[version] = text
	if stage == "AWSCURRENT" && s.Stages[stage] != "" {
		s.Stages["AWSPREVIOUS"] = s.Stages[stage]
	}
	s.Stages[stage] = version
}

// Current returns the text of the current version, and all stages that exist.
func (a *AWS) Current(name string) (text string, stages []string) {
	a.Do(func() {
		if s := a.Secrets[name]; s != nil {
			text = s.Versions[s.Stages["AWSCURRENT"]]
			for stage := range s.Stages {
				stages = append(stages, stage)
			}
		}
	})
	slices.Sort(stages)
	return text, stages
}

// awsActions are the actions for which a login needs permission.
var awsActions = map[string]string{
	"GetSecretValue": "read", "PutSecretValue": "write", "CreateSecret": "write", "UpdateSecretVersionStage": "write",
	"RestoreSecret": "write",
	"DeleteSecret":  "delete", "ListSecrets": "list",
}

func (a *AWS) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if code := a.signed(r, body); code != "" {
		wrong(w, code)
		return
	}
	//nolint:staticcheck,revive // AWS's words
	var in struct {
		SecretId, Name, VersionId, VersionStage, SecretString, ClientRequestToken, MoveToVersionId, RemoveFromVersionId string

		VersionStages []string
	}
	_ = json.Unmarshal(body, &in)
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	a.Before(action)
	name := in.SecretId
	s := a.Secrets[name]
	switch {
	case !a.may(awsActions[action], name):
		wrong(w, "AccessDeniedException")
		return
	case action == "ListSecrets":
		reply(w, http.StatusOK, object{"SecretList": []object{}})
		return
	case action == "CreateSecret" && a.Secrets[in.Name] != nil:
		wrong(w, "ResourceExistsException")
		return
	case action == "CreateSecret":
		a.put(in.Name, in.ClientRequestToken, in.SecretString, "AWSCURRENT")
		reply(w, http.StatusOK, object{"Name": in.Name, "VersionId": in.ClientRequestToken})
		return
	case s == nil:
		wrong(w, "ResourceNotFoundException")
		return
	case action == "RestoreSecret":
		s.Deleted = false
	case s.Deleted:
		wrong(w, "InvalidRequestException")
		return
	case action == "GetSecretValue":
		a.get(w, s, in.VersionId, in.VersionStage)
		return
	case action == "PutSecretValue":
		if old, there := s.Versions[in.ClientRequestToken]; there && old != in.SecretString || len(in.ClientRequestToken) < 32 {
			wrong(w, "ResourceExistsException")
			return
		}
		a.put(name, in.ClientRequestToken, in.SecretString, in.VersionStages[0])
	case action == "UpdateSecretVersionStage":
		if s.Stages[in.VersionStage] != in.RemoveFromVersionId {
			wrong(w, "InvalidParameterException")
			return
		}
		delete(s.Stages, in.VersionStage)
		if in.MoveToVersionId != "" {
			s.Stages[in.VersionStage] = in.MoveToVersionId
			s.Stages["AWSPREVIOUS"] = in.RemoveFromVersionId
		}
	case action == "DeleteSecret":
		s.Deleted = true
	}
	reply(w, http.StatusOK, object{"Name": name, "VersionId": in.ClientRequestToken})
}

func (a *AWS) get(w http.ResponseWriter, s *AWSSecret, version, stage string) {
	if stage == "" {
		stage = "AWSCURRENT"
	}
	if version == "" {
		version = s.Stages[stage]
	}
	text, there := s.Versions[version]
	if !there {
		wrong(w, "ResourceNotFoundException")
		return
	}
	reply(w, http.StatusOK, object{"VersionId": version, "SecretString": text, "VersionStages": []string{stage}})
}

// wrong responds with an error, whose status is 400 for nearly all of them.
func wrong(w http.ResponseWriter, code string) {
	reply(w, http.StatusBadRequest, object{"__type": "com.amazonaws.secretsmanager#" + code, "message": "no"})
}

// signed checks Signature Version 4, and returns the code of what is wrong.
func (a *AWS) signed(r *http.Request, body []byte) string {
	var credential, headers, signature string
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "Credential":
			credential = value
		case "SignedHeaders":
			headers = value
		case "Signature":
			signature = value
		}
	}
	id, scope, _ := strings.Cut(credential, "/")
	switch {
	case credential == "":
		return "MissingAuthenticationTokenException"
	case id != a.KeyID:
		return "UnrecognizedClientException"
	case r.Header.Get("X-Amz-Security-Token") != a.Session:
		return "ExpiredTokenException"
	}
	canonical := []string{r.Method, "/", ""}
	for name := range strings.SplitSeq(headers, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(len(body))
		}
		canonical = append(canonical, name+":"+value)
	}
	canonical = append(canonical, "", headers, hashed(string(body)))
	key := []byte("AWS4" + a.Key)
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+
		hashed(strings.Join(canonical, "\n"))) {
		m := hmac.New(sha256.New, key)
		_, _ = m.Write([]byte(part))
		key = m.Sum(nil)
	}
	if hex.EncodeToString(key) != signature || !strings.HasSuffix(scope, "/"+a.Region+"/secretsmanager/aws4_request") {
		return "InvalidSignatureException"
	}
	return ""
}

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
