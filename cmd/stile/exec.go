// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/process"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/outlet"
)

func (p *program) execCommand() *cobra.Command {
	var s settings
	var static bool
	cmd := &cobra.Command{
		Use:   "exec [CROSSING] -- COMMAND [ARGUMENT...]",
		Short: "Run a command that always finds a fresh credential",
		Long: `Run a command that always finds a fresh credential, for as long as it runs: an endpoint of its own on this machine, which
the clouds' SDKs and command lines know how to ask, and no key in its environment. Variables that would win over that are
removed, and stile says which. The command starts once the credential is there. Signals reach it, and stile ends as it does: by
its exit code, or by the signal that ended it. As with env, 127 is a command that is not there, and 126 one that cannot be run.

A crossing that ends in an ID token, or in a token of its own, has no such endpoint: STILE_ID_TOKEN_FILE names a file that holds a
fresh one for as long as the command runs, and AWS_WEB_IDENTITY_TOKEN_FILE does too where it is made out to AWS STS.
STILE_ID_TOKEN is the token itself, as it was at the start.

With --static the credential itself is in the environment, for programs that know nothing else. It does not refresh.`,
		Example: `  stile exec images -- aws s3 ls s3://my-bucket
  stile exec --provider projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov -- gcloud storage ls
  stile exec images --static -- old-program`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash < 0 || dash == len(args) {
				return errors.New("name the command after --")
			} else if dash > 1 {
				return errors.New("name at most one crossing before --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			s.take(cmd, args[:dash])
			return p.endAlike(p.exec(cmd.Context(), &s, static, args[dash:]))
		},
	}
	p.bothFlags(cmd, &s)
	cmd.Flags().BoolVar(&static, "static", false, "put the credential itself into the environment, where it does not refresh")
	return cmd
}

// endAlike has stile end as the command did, or say why there was none.
func (p *program) endAlike(err error) error {
	var ended process.Ended
	var unstarted *process.Unstarted
	switch {
	case errors.As(err, &ended):
		return exit(ended.Alike())
	case errors.As(err, &unstarted):
		p.report(&stile.Error{Op: unstarted.Op, Err: unstarted.Err})
		return exit(unstarted.Code())
	}
	return err
}

func (p *program) exec(ctx context.Context, s *settings, static bool, argv []string) error {
	child, err := process.Command(argv[0], argv[1:]...)
	if err != nil {
		return err
	}
	signals := process.Listen()
	defer signals.Stop()
	bounded, cancel := p.within(ctx)
	defer cancel()
	has := given{end: func() {}}
	defer func() { has.end() }()
	if err := signals.Unless(bounded, func(ctx context.Context) error {
		g, err := p.give(ctx, s, static)
		if err == nil {
			has = g
		}
		return err
	}); err != nil {
		return err
	}
	child.Stdin, child.Stdout, child.Stderr = p.stdin, p.stdout, p.stderr
	child.Env = p.childEnvironment(has)
	return signals.Run(child)
}

// given is what a command finds its credential by.
type given struct {
	vars    []outlet.Variable
	shadows []string
	end     func()
}

// give has the credential ready, by an endpoint wherever there is one that the crossing's clients know, or else in a file.
func (p *program) give(ctx context.Context, s *settings, static bool) (given, error) {
	c, err := p.crossing(ctx, s, anywhere)
	if err != nil {
		return given{}, err
	}
	process.Sweep(folderPrefix, p.foldersIn()...)
	if static {
		kind, vars, err := p.environmentOf(ctx, c)
		return given{vars, append(outlet.Shadowing(kind), idTokenFile), func() {}}, err
	}
	g, err := p.giveServed(ctx, c)
	if err != nil {
		g.end()
	}
	return g, err
}

func givesIDToken(c config.Crossing) bool { return c.To.GCP != nil && c.To.GCP.IDToken != nil }

// giveServed serves the crossing for as long as the command runs, on a port of its own and in files.
func (p *program) giveServed(ctx context.Context, c config.Crossing) (given, error) {
	g := given{end: func() {}}
	last := func(end func()) {
		before := g.end
		g.end = func() { end(); before() }
	}
	c.Name = cmp.Or(c.Name, "crossing")
	plan, folder, err := p.planFor(ctx, c)
	if err != nil {
		return g, err
	}
	if folder != nil {
		last(folder.Remove)
	}
	log := slog.New(&warnings{to: p, shared: p.store.IsShared()})
	sent, err := p.openTraces(p.traces, log)
	if err != nil {
		return g, err
	}
	last(func() { sent.Close(lastTraces) })
	store, closeStore, err := p.openStore(ctx, log)
	if err != nil {
		return g, err
	}
	last(closeStore)
	o := traced(p.sidecarOptions(log), sent)
	o.Store, o.StoreDeadline, o.Token = store, storeDeadline(p.store), stile.NewSecret(sidecar.NewToken())
	o.Timeout, o.Overdue = p.timeout, &overdue{"not done within --timeout " + p.timeout.String(), stile.ErrTemporary}
	s := sidecar.New(o)
	last(s.Close)
	stop, err := p.startServing(ctx, s, plan)
	last(stop)
	if err != nil {
		return g, err
	}
	if !isToken(c) {
		p.tell(&g, c, s.Report().Serves[0], plan, o.Token)
		return g, nil
	}
	token, err := s.Keeper(c.Name).Credential(ctx)
	p.tellToken(&g, c, token, plan.Serve.Files[0].Token.Path)
	return g, err
}

// isToken reports whether a crossing ends in a token that no endpoint of the clouds is for.
func isToken(c config.Crossing) bool { return c.To.Token != nil || givesIDToken(c) }

// startServing returns once the credential is there.
func (p *program) startServing(ctx context.Context, s *sidecar.Sidecar, plan sidecar.Plan) (stop func(), err error) {
	stop = func() {}
	if err := s.Apply(ctx, plan); err != nil {
		return stop, err
	}
	waiting, cancel := patientlyEnding(ctx)
	defer cancel()
	for name := range plan.Crossings {
		if _, err := s.Keeper(name).Credential(waiting); err != nil {
			return stop, err
		}
	}
	// What ends this command's context, such as an interrupt, must not end what the child still uses.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan struct{})
	go func() {
		defer close(served)
		err := s.Run(running) // what it could not do at the end, it has logged
		if running.Err() == nil {
			p.warn("the endpoint is broken, and the command finds no fresh credential any more: start it anew: %v", cmp.Or(err, http.ErrServerClosed))
		}
	}()
	return func() { end(); <-served }, s.FilesWritten(ctx)
}

// tell says by which variables the command finds its credential.
func (p *program) tell(g *given, c config.Crossing, at sidecar.Served, plan sidecar.Plan, token stile.Secret) {
	g.shadows = sidecar.Shadowing(at.Kind)
	if c.To.AWS != nil {
		g.vars = sidecar.Variables(at.Kind, at.Addresses[0], c.Name, sidecar.Bearer{Value: token}, p.region(c.To.AWS.Region))
		g.vars = append(g.vars, p.hideDefaultProfile()...)
		return
	}
	g.vars = append(sidecar.Variables(at.Kind, at.Addresses[0], c.Name, sidecar.Bearer{}, ""), sidecar.NoProxy(p.env, at.Addresses[0])...)
	// gcloud prefers an account that somebody signed in with to the metadata server; this it prefers to both.
	g.vars = append(g.vars, outlet.Variable{Name: "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", Value: plan.Serve.Files[0].Token.Path})
	g.vars = append(g.vars, quotaVariables(c)...)
	p.warnOfDefaultCredentials()
}

// idTokenFile names the variable for a file that holds a token which is in no cloud's own format.
const idTokenFile = "STILE_ID_TOKEN_FILE"

// tellToken says where the command finds a token: as it is now, and in the file that holds it fresh.
func (p *program) tellToken(g *given, c config.Crossing, token stile.Credential, path string) {
	g.vars = append(outlet.Environment(token, ""), quotaVariables(c)...)
	g.vars = append(g.vars, outlet.Variable{Name: idTokenFile, Value: path})
	g.shadows = outlet.Shadowing(token.Kind)
	if isForSTS(c) {
		vars, shadows := webIdentityVariables(path)
		g.vars, g.shadows = append(g.vars, vars...), append(g.shadows, shadows...)
		p.warnOfNoRole()
	}
}

// anyPort is one that is free.
const anyPort = "127.0.0.1:0"

// planFor serves one crossing on a free port, and for gcloud in a file, or a token in a file alone.
func (p *program) planFor(ctx context.Context, c config.Crossing) (plan sidecar.Plan, folder *process.Folder, err error) {
	plan.Crossings = map[string]config.Crossing{c.Name: c}
	if !isToken(c) {
		plan.Serve.AllowUsers = p.onlyThisUser(ctx, c)
	}
	if c.To.AWS != nil {
		plan.Serve.Endpoints = []config.Endpoint{{ECS: []string{c.Name}, Listen: anyPort}}
		return plan, nil, nil
	}
	if folder, err = p.newFolder(); err != nil {
		return plan, nil, err
	}
	file := &config.KeptToken{Path: filepath.Join(folder.Path, "token"), Form: config.FormToken} // some SDKs present a line end too
	if !isToken(c) {
		plan.Serve.Endpoints = []config.Endpoint{{GCE: c.Name, Listen: anyPort}}
		file.Form = config.FormLine
	}
	plan.Serve.Files = []config.KeptFile{{Crossing: c.Name, Token: file}}
	return plan, folder, nil
}

// hideDefaultProfile has the command look past the default profile, which every AWS SDK prefers to an endpoint.
func (p *program) hideDefaultProfile() []outlet.Variable {
	home, _ := os.UserHomeDir() // without one, nothing is looked for there
	var hidden []outlet.Variable
	for name, usual := range map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CONFIG_FILE": "config"} {
		path := p.env(name)
		if path == "" && home != "" {
			path = filepath.Join(home, ".aws", usual)
		}
		if path == "" {
			continue
		}
		if data, err := os.ReadFile(filepath.Clean(path)); err == nil && hasDefaultIdentity(data) {
			p.warn("%s has a default profile, which would win over the credential: the command does not see this file", path)
			hidden = append(hidden, outlet.Variable{Name: name, Value: os.DevNull})
		}
	}
	return hidden
}

// hasDefaultIdentity reports whether the default profile says whom to be. It finds what any SDK may: botocore takes a colon
// for an equals sign, a quoted name of a profile, and a line of any length or with an end of any system.
func hasDefaultIdentity(file []byte) bool {
	inside := false
	for line := range bytes.FieldsFuncSeq(file, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = bytes.TrimSpace(line)
		if header, ok := bytes.CutPrefix(line, []byte("[")); ok {
			name, _, _ := bytes.Cut(header, []byte("]"))
			inside = isDefault(string(name))
			continue
		}
		end := bytes.IndexAny(line, "=:")
		if inside && end >= 0 && isIdentity(strings.ToLower(string(bytes.TrimSpace(line[:end])))) {
			return true
		}
	}
	return false
}

// isDefault reports whether a section is the default profile's: default, or profile default.
func isDefault(section string) bool {
	words := strings.Fields(section)
	if len(words) == 2 && words[0] == "profile" {
		words = words[1:]
	}
	return len(words) == 1 && strings.Trim(words[0], `"'`) == defaultProfile
}

// isIdentity reports whether a profile that has a key says whom to be.
func isIdentity(key string) bool {
	return slices.Contains([]string{"aws_access_key_id", "credential_process", "role_arn", "web_identity_token_file", "credential_source"}, key) ||
		strings.HasPrefix(key, "sso_") || strings.HasPrefix(key, "login_")
}

// warnOfDefaultCredentials tells of the one thing that wins over a metadata server and cannot be hidden: Google's
// libraries find it by the home folder.
func (p *program) warnOfDefaultCredentials() {
	folder := p.env("CLOUDSDK_CONFIG")
	data, home := p.env("APPDATA"), ""
	if folder == "" {
		home, _ = os.UserHomeDir()
	}
	switch {
	case folder != "":
	case data != "" && os.PathSeparator == '\\':
		folder = filepath.Join(data, "gcloud")
	case home != "":
		folder = filepath.Join(home, ".config", "gcloud")
	default:
		return
	}
	path := filepath.Join(folder, "application_default_credentials.json")
	if _, err := os.Stat(path); err == nil {
		p.warn("%s wins over the credential in programs that use Google's libraries: gcloud auth application-default revoke removes it", path)
	}
}

func (p *program) childEnvironment(g given) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		if slices.ContainsFunc(g.vars, func(v outlet.Variable) bool { return v.Name == name }) {
			return true
		}
		if slices.Contains(g.shadows, name) {
			if p.env(name) != "" {
				p.warn("%s is not passed on: it would win over the credential", name)
			}
			return true
		}
		return false
	})
	for _, v := range g.vars {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}
