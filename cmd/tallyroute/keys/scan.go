package keys

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

type keysScan struct {
	cli.Format
	Paths []string `arg:"" help:"Files and folders; git histories in them are read, too."`
	Whose bool     `help:"Look up in the database whose keys they are and whether they are active; --router does, too."`
}

// leak is a secret that was found. The secret itself is never printed.
type leak struct {
	Where   string `json:"where"`
	Display string `json:"display"`
	KeyID   string `json:"key_id,omitempty"`
	Name    string `json:"name,omitempty"`
	Status  string `json:"status,omitempty"` // unknown: no key of this database

	secret billing.Secret
}

// Run looks for keys. Finding any is an error, so that a CI job that runs it fails.
func (c keysScan) Run(a *cli.Context) error {
	s := scan{Context: a}
	for _, path := range c.Paths {
		if err := s.walk(path); err != nil {
			return err
		}
	}
	if (c.Whose || a.Router != "") && len(s.found) > 0 {
		if err := a.Ask(cli.Needs{Keys: true}, s.ask); err != nil {
			return err
		}
	}
	t := cli.Table{Header: []string{"WHERE", "KEY", "ID", "NAME", "STATUS"}, Records: s.found}
	if s.found == nil {
		t.Records = []leak{}
	}
	for _, l := range s.found {
		t.Add(cli.Text(l.Where), cli.Text(l.Display), cli.Text(cli.OrElse(l.KeyID, "-")), cli.Text(cli.OrElse(l.Name, "-")),
			cli.Text(cli.OrElse(l.Status, "-")))
	}
	if err := t.Write(a.Stdout, c.Output); err != nil {
		return err
	}
	if n := len(s.found); n > 0 {
		return fmt.Errorf("keys found: %d", n)
	}
	return nil
}

// scan is the result so far.
type scan struct {
	*cli.Context
	found []leak
}

func (s *scan) in(r io.Reader, where string) error {
	return billing.SecretsIn(r, func(secret billing.Secret, line int) {
		s.found = append(s.found, leak{Where: where + ":" + strconv.Itoa(line), Display: secret.Display(), secret: secret})
	})
}

// walk reads a file, or everything below a directory. Anything other than regular files is
// skipped.
func (s *scan) walk(path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case isRepository(path, d):
			if err := s.history(path); err != nil {
				return err
			}
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		f, err := os.Open(path) //nolint:gosec // the operator names it
		if err != nil {
			return err
		}
		return errors.Join(s.in(f, path), f.Close())
	})
}

// isRepository reports whether path is a directory in which git keeps its objects: .git, or
// a bare repository.
func isRepository(path string, d fs.DirEntry) bool {
	if !d.IsDir() {
		return false
	}
	_, err := os.Stat(filepath.Join(path, "objects"))
	_, missing := os.Stat(filepath.Join(path, "HEAD"))
	return err == nil && missing == nil
}

// history reads every object of a repository, including those that no branch refers to any
// more.
func (s *scan) history(dir string) (err error) {
	git := exec.CommandContext(s.Ctx, //nolint:gosec // a folder that the operator named
		"git", "--git-dir", dir, "cat-file", "--batch-all-objects", "--batch", "--unordered")
	git.Stderr = s.Stderr
	out, err := git.StdoutPipe()
	if err != nil {
		return err
	}
	if err := git.Start(); err != nil {
		return fmt.Errorf("%s: its history needs git: %w", dir, err)
	}
	before := len(s.found)
	if err := s.objects(bufio.NewReader(out), dir); err != nil {
		return errors.Join(err, git.Wait())
	}
	if err := git.Wait(); err != nil {
		return fmt.Errorf("%s: git: %w", dir, err)
	}
	if len(s.found) > before {
		s.name(dir, s.found[before:])
	}
	return nil
}

// objects reads the output of git cat-file: "<id> <type> <size>", the object, a line feed.
func (s *scan) objects(r *bufio.Reader, dir string) error {
	for {
		head, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		fields := strings.Fields(head)
		if err != nil || len(fields) != 3 {
			return fmt.Errorf("%s: git wrote %q: %w", dir, head, err)
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: git wrote %q: %w", dir, head, err)
		}
		object := io.LimitReader(r, size)
		if err := s.in(object, dir+" "+fields[0]); err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return err
		}
	}
}

// name adds the paths of objects. If git doesn't know them, their ids have to do.
func (s *scan) name(dir string, found []leak) {
	out, err := exec.CommandContext(s.Ctx, "git", "--git-dir", dir, "rev-list", "--all", "--objects").Output() //nolint:gosec // as above
	if err != nil {
		return
	}
	paths := make(map[string]string)
	for line := range bytes.Lines(out) {
		if id, path, ok := strings.Cut(strings.TrimSpace(string(line)), " "); ok {
			paths[id] = path
		}
	}
	for i, l := range found {
		id, line, _ := strings.Cut(strings.TrimPrefix(l.Where, dir+" "), ":")
		if path := paths[id]; path != "" {
			found[i].Where = fmt.Sprintf("%s %.12s %s:%s", dir, id, path, line)
		}
	}
}

// ask finds out whose keys they are.
func (s *scan) ask(r adminapi.API) error {
	for i := range s.found {
		l := &s.found[i]
		key, err := adminapi.Do[manage.KeyView](s.Ctx, r, adminapi.Post("/keys/find", cli.Fields{"secret": l.secret.Reveal()}))
		switch {
		case cli.IsMissing(err):
			l.Status = "unknown"
		case err != nil:
			return err
		default:
			l.KeyID, l.Name, l.Status = key.ID, key.Name, key.Status
		}
	}
	return nil
}
