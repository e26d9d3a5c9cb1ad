package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var errNotInstalled = errors.New("pgtest: PostgreSQL is not installed; " +
	"Debian, Ubuntu: apt install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql; " +
	"or point $" + Variable + " at a server")

// folders returns the directories that contain both initdb and postgres: the one on the
// PATH first, then those that distributions use, newest version first.
func folders() []string {
	var found []string
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) && !slices.Contains(found, dir) {
			found = append(found, dir)
		}
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			initdb = real
		}
		add(filepath.Dir(initdb))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/usr/local/pgsql/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/bin",
		"/usr/bin",
	} {
		dirs, _ := filepath.Glob(pattern) // the patterns are valid
		slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
		for _, dir := range dirs {
			add(dir)
		}
	}
	return found
}

// Tool returns the path of a program that comes with PostgreSQL, such as pg_dump.
// If it is not found, the test fails.
func Tool(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range folders() {
		if path := filepath.Join(dir, name); executable(path) {
			return path
		}
	}
	path, err := exec.LookPath(name)
	require(t, err)
	return path
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// version returns the first number in a path, which is the major version of the server.
func version(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0]) // digits only
	return n
}
