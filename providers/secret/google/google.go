// Package google reads and writes secrets in Google Secret Manager.
package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// Options say where the service is and whose token to use.
type Options struct {
	Endpoint string                                    // "" means the public one
	Token    func(ctx context.Context) (string, error) // for Google Cloud
	Client   *http.Client
	Pause    func(ctx context.Context, d time.Duration) error
}

// Secrets is a client of the service.
type Secrets struct {
	Options
	caller manager.Caller
}

var (
	_ manager.Manager = (*Secrets)(nil)
	_ manager.Reacher = (*Secrets)(nil)
)

// New returns a client; it makes no calls yet.
func New(o Options) *Secrets {
	if o.Endpoint == "" {
		o.Endpoint = "https://secretmanager.googleapis.com"
	}
	o.Endpoint = strings.TrimSuffix(o.Endpoint, "/")
	return &Secrets{o, manager.Caller{Name: "gcp-sm", Client: o.Client, Judge: judge, Pause: o.Pause}}
}

func judge(status int, body []byte) (manager.Kind, string) {
	var said struct {
		Error struct {
			Status string `json:"status"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &said) // otherwise only the status is known
	if said.Error.Status == "FAILED_PRECONDITION" {
		return manager.NotFound, "the version is disabled or destroyed"
	}
	return manager.ByStatus(status), said.Error.Status
}

var part = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:.-]{0,254}$`)

// resource returns projects/P/secrets/S and the version, for PROJECT/NAME[/VERSION] or for the
// full name.
func resource(name string) (path, version string, err error) {
	parts := strings.Split(name, "/")
	if len(parts) >= 4 && parts[0] == "projects" && parts[2] == "secrets" {
		full := parts
		parts = []string{full[1], full[3]}
		if len(full) == 6 && full[4] == "versions" {
			parts = append(parts, full[5])
		} else if len(full) != 4 {
			parts = nil
		}
	}
	if len(parts) == 2 {
		parts = append(parts, "latest")
	}
	if len(parts) != 3 || !part.MatchString(parts[0]) || !part.MatchString(parts[1]) || !part.MatchString(parts[2]) {
		return "", "", fmt.Errorf("gcp-sm: %q is not PROJECT/NAME, or PROJECT/NAME/VERSION", name)
	}
	return "projects/" + parts[0] + "/secrets/" + parts[1], parts[2], nil
}

func (s *Secrets) call(ctx context.Context, method, path string, in, out any) error {
	token, err := s.Token(ctx)
	if err != nil {
		return &manager.Error{
			Manager: "gcp-sm", Kind: manager.Expired,
			Err: errors.New("no Google Cloud credentials were found, or they are invalid"),
		}
	}
	var body []byte
	header := http.Header{"Authorization": {"Bearer " + token}}
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		header.Set("Content-Type", "application/json")
	}
	text, err := s.caller.Do(ctx, manager.Call{Method: method, URL: s.Endpoint + "/v1/" + path, Header: header, Body: body})
	if err != nil || out == nil {
		return err
	}
	if json.Unmarshal(text, out) != nil {
		return manager.Unreadable("gcp-sm")
	}
	return nil
}

type payload struct {
	Data []byte `json:"data"`
	Sum  string `json:"dataCrc32c,omitempty"`
}

func sum(data []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), 10)
}

// Fetch reads the latest version of PROJECT/NAME, or the given one of PROJECT/NAME/VERSION.
func (s *Secrets) Fetch(ctx context.Context, name string) (manager.Secret, error) {
	path, version, err := resource(name)
	if err != nil {
		return manager.Secret{}, err
	}
	var got struct {
		Name    string  `json:"name"`
		Payload payload `json:"payload"`
	}
	if err := s.call(ctx, http.MethodGet, path+"/versions/"+version+":access", nil, &got); err != nil {
		return manager.Secret{}, err
	}
	if got.Payload.Sum != "" && got.Payload.Sum != sum(got.Payload.Data) {
		return manager.Secret{}, manager.Unreadable("gcp-sm")
	}
	return manager.Secret{Text: secret.New(string(got.Payload.Data)), Version: got.Name[strings.LastIndexByte(got.Name, '/')+1:]}, nil
}

// Write adds a version to PROJECT/NAME, which it creates if necessary, and disables those
// older than the previous one.
func (s *Secrets) Write(ctx context.Context, place, text string, _ map[string]string) error {
	name, field := manager.Place(place)
	path, _, err := resource(name)
	if err != nil {
		return err
	}
	old, err := s.Fetch(ctx, name)
	if err != nil && !manager.Is(err, manager.NotFound) {
		return err
	}
	fresh, err := manager.Put(old.Text.Reveal(), field, text)
	if err != nil || fresh == old.Text.Reveal() {
		return err
	}
	err = s.add(ctx, path, fresh)
	if manager.Is(err, manager.NotFound) {
		parent, id, _ := strings.Cut(path, "/secrets/")
		err = s.call(ctx, http.MethodPost, parent+"/secrets?secretId="+url.QueryEscape(id),
			map[string]any{"replication": map[string]any{"automatic": map[string]any{}}}, nil)
		if err == nil || manager.Is(err, manager.Conflict) {
			err = s.add(ctx, path, fresh)
		}
	}
	if err != nil {
		return err
	}
	return s.disableOld(ctx, path)
}

func (s *Secrets) add(ctx context.Context, path, text string) error {
	return s.call(ctx, http.MethodPost, path+":addVersion", map[string]any{"payload": payload{[]byte(text), sum([]byte(text))}}, nil)
}

// keepEnabled is how many versions stay enabled: the latest and the one before.
const keepEnabled = 2

// disableOld disables all enabled versions except the newest, page by page.
func (s *Secrets) disableOld(ctx context.Context, path string) error {
	seen, page := 0, ""
	for {
		var got struct {
			Versions []struct {
				Name string `json:"name"`
			} `json:"versions"`
			Next string `json:"nextPageToken"`
		}
		q := url.Values{"filter": {"state:ENABLED"}, "pageSize": {"100"}}
		if page != "" {
			q.Set("pageToken", page)
		}
		if err := s.call(ctx, http.MethodGet, path+"/versions?"+q.Encode(), nil, &got); err != nil {
			return err
		}
		for _, v := range got.Versions { // newest first
			if seen++; seen <= keepEnabled {
				continue
			}
			version := v.Name[strings.LastIndexByte(v.Name, '/')+1:]
			if err := s.call(ctx, http.MethodPost, path+"/versions/"+version+":disable", map[string]any{}, nil); err != nil {
				return err
			}
		}
		if page = got.Next; page == "" {
			return nil
		}
	}
}

// Delete removes a field, or the secret if nothing is left.
func (s *Secrets) Delete(ctx context.Context, place string) error {
	name, field := manager.Place(place)
	path, _, err := resource(name)
	if err != nil {
		return err
	}
	return manager.Remove(
		func() (manager.Secret, error) { return s.Fetch(ctx, name) }, field,
		func(left string) error { return s.add(ctx, path, left) },
		func() error { return s.call(ctx, http.MethodDelete, path, nil, nil) },
	)
}

// beyond are permissions on a secret that reading it does not need.
var beyond = []string{
	"secretmanager.versions.add", "secretmanager.versions.destroy", "secretmanager.secrets.delete", "secretmanager.secrets.setIamPolicy",
}

// Reach implements manager.Reacher.
func (s *Secrets) Reach(ctx context.Context, use manager.Use) (wide []string, err error) {
	projects := make(map[string]bool)
	for _, name := range use.Names {
		path, _, err := resource(name)
		if err != nil {
			return nil, err
		}
		project, id, _ := strings.Cut(path, "/secrets/")
		if !projects[project] {
			projects[project] = true
			absent := project + "/secrets/" + manager.Absent() + "/versions/latest:access"
			all, err := manager.Allowed(s.call(ctx, http.MethodGet, absent, nil, nil))
			if err != nil {
				return wide, err
			}
			if all {
				wide = append(wide, "the login may read every secret of "+project)
			}
		}
		var may struct {
			Permissions []string `json:"permissions"`
		}
		if err := s.call(ctx, http.MethodPost, path+":testIamPermissions", map[string]any{"permissions": beyond}, &may); err != nil {
			return wide, err
		}
		if len(may.Permissions) > 0 {
			wide = append(wide, "the login has "+strings.Join(may.Permissions, ", ")+" on "+id)
		}
	}
	return wide, nil
}
