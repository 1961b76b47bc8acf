// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

// meaning is what one of Redis' error codes says, in our words. Its own are not repeated: servers and proxies echo what
// they were sent, such as AUTH with its password.
type meaning struct {
	kind error
	text string
	hint string
}

const rights = "ACL SETUSER USER ~stile:* +getrange +set +get +del +pttl +pexpire +eval +evalsha, and +cluster|slots in a cluster"

var codes = map[string]meaning{
	"WRONGPASS":  {stile.ErrRefused, "the user or the password is wrong", "check the user, and the password or its file"},
	"NOAUTH":     {stile.ErrRefused, "it wants a password", "give a user and a password file"},
	"NOPERM":     {stile.ErrRefused, "the user may not do that", rights},
	"DENIED":     {stile.ErrRefused, "it takes connections from its own machine only, for it has no password", "set one in Redis"},
	"OOM":        {stile.ErrTemporary, "its memory is full", "set maxmemory-policy to one that evicts, or give it more"},
	"READONLY":   {stile.ErrTemporary, "it is a replica and takes no writes", "name the master, or the sentinels"},
	"LOADING":    {stile.ErrTemporary, "it is still loading its data", ""},
	"BUSY":       {stile.ErrTemporary, "it is busy with a script", ""},
	"MASTERDOWN": {stile.ErrTemporary, "its master is down", ""},
	"MISCONF":    {stile.ErrTemporary, "it cannot save to its disk, and takes no writes", ""},
	"NOREPLICAS": {stile.ErrTemporary, "it has too few replicas to take writes", ""},
	"TRYAGAIN":   {stile.ErrTemporary, "the cluster is moving that name", ""},
	"CLUSTERDOWN": {stile.ErrTemporary, "the cluster is down, or not all of it is there",
		"CLUSTER INFO tells what is missing"},
	"MOVED":     {stile.ErrMisuse, "it is a server of a cluster", "write redis+cluster://"},
	"WRONGTYPE": {keep.ErrAbsent, "what is there is no plain value", ""},
}

// sayings are of errors that have the code ERR alone.
var sayings = []struct {
	part string
	meaning
}{
	{"max number of clients", meaning{stile.ErrTemporary, "it has too many clients", ""}},
	{"DB index is out of range", meaning{stile.ErrMisuse, "it has no such database", ""}},
	{"without any password configured", meaning{stile.ErrRefused, "a password is given, and it has none", "leave the password out, or set it in Redis"}},
	{"cluster support disabled", meaning{stile.ErrMisuse, "it is no cluster", "write redis:// in place of redis+cluster://"}},
	{"unknown command", meaning{stile.ErrRefused, "it lacks a command that is needed", "use Redis from 4.0, or Valkey, with scripts enabled"}},
}

// fault tells what became of a call, without a word of the server's own.
func fault(ctx context.Context, op, engine string, err error) error {
	var answered redis.Error
	if ctx.Err() != nil || !errors.As(err, &answered) {
		return shared.Fault(ctx, op, engine, err)
	}
	said := answered.Error()
	m := meaning{stile.ErrTemporary, "it answered with an error of no known kind", ""}
	code, _, _ := strings.Cut(said, " ")
	if known, ok := codes[code]; ok {
		m = known
	} else if code == "ERR" {
		for _, s := range sayings {
			if strings.Contains(said, s.part) {
				m, code = s.meaning, ""
				break
			}
		}
	} else {
		code = ""
	}
	text := m.text
	if code != "" {
		text = code + ": " + text
	}
	return &stile.Error{Op: op, Cloud: engine, Hint: m.hint, Err: fmt.Errorf("%w: %s", m.kind, text)}
}
