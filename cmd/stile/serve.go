// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/internal/sidecar"
)

const whatToServe = "What to serve"

// logFormats are those of what serve writes to standard error.
var logFormats = []string{"text", "json"}

// serving are the flags of stile serve.
type serving struct {
	settings
	ecs       string
	imds, gce []string // CROSSING=ADDRESS
	admin     string
	users     []string

	auditLog, logFormat string
	exitWith            []int
	printEnv, format    string
}

func (p *program) serveCommand() *cobra.Command {
	var o serving
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Hand out credentials where the clouds' own SDKs look for them, always fresh",
		Long: `Hand out credentials where the clouds' own SDKs look for them: as ECS and EC2 do on AWS, as the metadata server does on
Google Cloud, and in files. The serve block of a stile.yaml says what and where. With --ecs, --imds or --gce these are all that
is served: they stand in place of the block's endpoints and files. What else the block says holds with them too: allow_users,
hosts, admin, admin_tls and traces; --allow-user and --admin stand in place of the first and the third. Programs are told of an
endpoint by variables, which --print-env prints.

Every credential is fetched before anyone asks, and refreshed while it is served. What fails is asked for again, and holds up
nothing else. SIGHUP, and any change of the file, makes serve read it again: what still stands goes on, and a file with a
mistake in it changes nothing. SIGTERM and SIGINT finish the requests under way; a second one ends at once.`,
		Example: `  stile serve --config /etc/stile/stile.yaml
  stile serve --ecs 127.0.0.1:9912 --gce warehouse=127.0.0.1:9914 --admin 127.0.0.1:9911
  ( eval "$(stile serve --print-env images)"; aws s3 ls s3://images/ )  # not in the shell that runs stile`,
		Args: takesNothing,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.take(cmd, args)
			return p.serve(cmd.Context(), &o)
		},
	}
	f := cmd.Flags()
	p.fileFlags(cmd, &o.settings)
	p.cacheFlag(cmd)
	f.StringVar(&o.ecs, "ecs", "", "serve every crossing into AWS at this `ADDRESS`, as ECS does: 127.0.0.1:PORT or unix:/PATH")
	f.StringSliceVar(&o.imds, "imds", nil, "serve one crossing into AWS as EC2's metadata service does: `CROSSING=ADDRESS`")
	f.StringSliceVar(&o.gce, "gce", nil, "serve one crossing into Google Cloud as the metadata server does: `CROSSING=ADDRESS`")
	f.StringVar(&o.admin, "admin", "", "answer /healthz, /readyz, /metrics and /status at this `ADDRESS`")
	f.StringArrayVar(&o.users, "allow-user", nil, "let programs of this `USER` ask, a name or a number, and of no other that is not named so too (Linux)")
	under(whatToServe, f, "ecs", "imds", "gce", "admin", "allow-user")
	f.IntSliceVar(&o.exitWith, "exit-with", nil, "end when the process with this `PID` ends; of several, with the first that does")
	f.StringVar(&o.auditLog, "audit-log", "-", "write who got what to this `FILE`, as JSON; - is standard error, in its --log-format; none is nowhere")
	f.StringVar(&o.logFormat, "log-format", "text", "the `FORMAT` of what goes to standard error: "+strings.Join(logFormats, " or "))
	f.StringVar(&o.printEnv, "print-env", "", "print the variables by which programs find this `CROSSING`, and serve nothing")
	f.StringVar(&o.format, "format", "sh", "the `FORMAT` of --print-env: "+strings.Join(envFormats, ", "))
	return cmd
}

func (p *program) serve(ctx context.Context, o *serving) error {
	if err := o.knowsFormats(); err != nil {
		return err
	}
	watched, err := p.watch(ctx, o)
	if err != nil {
		return err
	}
	if o.printEnv != "" {
		return p.printEnv(ctx, o, watched.plan)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	companions, err := o.companions(ctx)
	if err != nil {
		return err
	}
	log := p.running(o.logFormat)
	audit, err := p.openAudit(o, log)
	if err != nil {
		return err
	}
	defer audit.close()
	store, closeStore, err := p.openStore(ctx, log)
	if err != nil {
		return err
	}
	defer closeStore()
	sent, err := p.openTraces(watched.plan.Serve.Traces, log)
	if err != nil {
		return err
	}
	defer sent.Close(lastTraces)
	notify := notifier(p.env("NOTIFY_SOCKET"))
	options := traced(p.sidecarOptions(log), sent)
	options.Store, options.StoreDeadline, options.Audit, options.Version = store, storeDeadline(p.store), audit.handler, version()["version"]
	options.Standing, options.Shared = p.standing(log, notify), p.store.IsShared()
	s := sidecar.New(options)
	defer s.Close()
	p.thrift(watched)
	if err = s.Apply(ctx, watched.plan); err != nil {
		return err
	}
	s.ConfigurationRead(nil)
	debug.FreeOSMemory() // most of what reading took
	defer companions.follow(ctx, end, log)()
	return p.attend(ctx, end, s, &reloader{program: p, o: o, s: s, watched: watched, log: log, audit: audit, notify: notify, store: p.store, traces: watched.plan.Serve.Traces})
}

// knowsFormats refuses a format that there is none of, and one of nothing; and a flag with no value, as of a variable that is
// not set: what it was to say would be left out in silence.
func (o *serving) knowsFormats() error {
	for _, f := range [][2]string{{"ecs", o.ecs}, {"admin", o.admin}, {"print-env", o.printEnv}, {"audit-log", o.auditLog}} {
		if o.given(f[0]) && f[1] == "" {
			return misuse("read the flags", "--%s is empty: give it a value or drop it", f[0])
		}
	}
	switch {
	case o.given("format") && o.printEnv == "":
		return misuse("read the flags", "--format goes with --print-env CROSSING; that of what serve logs is --log-format")
	case !slices.Contains(logFormats, o.logFormat):
		return misuse("read the flags", "--log-format %.40q: want text or json", o.logFormat)
	case !slices.Contains(envFormats, o.format):
		return misuse("read the flags", "--format %.40q: want one of %s", o.format, strings.Join(envFormats, ", "))
	}
	return nil
}

// companions are the processes of --exit-with, each with a context that ends with it.
type companions map[int]context.Context

// companions looks for them before anything is opened, and before what takes long.
func (o *serving) companions(ctx context.Context) (companions, error) {
	gone := companions{}
	for _, pid := range o.exitWith {
		if pid <= 0 {
			return nil, misuse("watch the process", "--exit-with %d: want the number of a process", pid)
		}
		var err error
		if gone[pid], err = processEnd(ctx, pid); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// follow ends with the first of them.
func (c companions) follow(ctx context.Context, end func(), log *slog.Logger) (stop func()) {
	var stops []func() bool
	for pid, gone := range c {
		stops = append(stops, context.AfterFunc(gone, func() {
			if ctx.Err() == nil {
				log.Info(fmt.Sprintf("process %d has ended", pid))
				end()
			}
		}))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// thrift says how much garbage may gather. With very many crossings it is a quarter of what they take themselves, and not as
// much again; with few, some 16 MiB while there are many requests: collecting it sooner took a tenth of the answers.
func (p *program) thrift(w *watched) {
	const many = 1000
	switch {
	case p.env("GOGC") != "":
	case len(w.plan.Crossings) > many:
		debug.SetGCPercent(25)
	default:
		debug.SetGCPercent(400)
	}
}

// shed gives back what starting and exchanging took, and serving does not need.
func shed() {
	debug.FreeOSMemory()
	shedProgram()
}

// sidecarOptions are those that serve and exec share.
func (p *program) sidecarOptions(log *slog.Logger) sidecar.Options {
	home, _ := os.UserHomeDir() // without one, no path may begin with ~/
	return sidecar.Options{
		Around: func(from config.From) (assemble.Surroundings, error) {
			around, err := p.surroundings(from)
			around.Warn = func(text string) { log.Warn(text) }
			return around, err
		},
		Region: p.region, Log: log, Folder: p.runtimeFolder(), Home: home,
	}
}

// runtimeFolder is where files of running programs lie: systemd's, that of the session, or else the cache's.
func (p *program) runtimeFolder() string {
	if dir, _, _ := strings.Cut(p.env("RUNTIME_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if dir := p.env("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "stile")
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "stile", "run")
	}
	return ""
}

// standing tells a person, and systemd, once everything can be had, and when that changes.
func (p *program) standing(log *slog.Logger, notify *notification) func(unready, all int) {
	was := false
	return func(unready, all int) {
		status := fmt.Sprintf("STATUS=%d of %s ready", all-unready, count(all, "crossing"))
		switch {
		case unready == 0:
			log.Info("ready: " + count(all, "crossing"))
			notify.send("READY=1", status)
			shed() // exchanging takes more than what comes of it
		case was:
			log.Error(count(unready, "crossing") + " of " + fmt.Sprint(all) + " no longer ready")
			notify.send(status)
		default:
			notify.send(status)
		}
		was = unready == 0
	}
}

// endPatience is how long the end may take: more than requests under way have, and what is written into files.
const endPatience = 20 * time.Second

// attend serves until it is told to end. It waits for nothing but that: what may take long is the reloader's.
func (p *program) attend(ctx context.Context, end func(), s *sidecar.Sidecar, r *reloader) error {
	// Of their own, so that no storm of SIGHUPs takes their room.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM) // to the very end: see endAnyhow
	defer r.run(ctx)()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer r.notify.watch()()
	told := false
	select {
	case err := <-ended:
		go endAnyhow(signals, true, r.log)
		return err
	case <-signals:
		told = true
		end()
	case <-ctx.Done():
	}
	go endAnyhow(signals, told, r.log)
	r.notify.send("STOPPING=1")
	return <-ended // requests under way are finished
}

// endAnyhow ends the program at another signal, and when the end takes too long, whatever else hangs: a disk, or whoever is
// to read standard error, to which nothing can be said then.
func endAnyhow(signals <-chan os.Signal, told bool, log *slog.Logger) {
	late := time.After(endPatience)
	for {
		select {
		case sig := <-signals:
			if sig == os.Interrupt && !told {
				told = true // the one that ended ctx
				continue
			}
			endAtOnce(signalCode(sig))
		case <-late:
			said := make(chan struct{})
			go func() {
				defer close(said)
				log.Error("not everything ends, and stile does all the same", slog.String("hint", "see whether a disk does not answer, such as one on a network"))
			}()
			select {
			case <-said:
			case <-time.After(lastWords):
			}
			endAtOnce(failed)
		}
	}
}

// planOf is what the file says, with that in its place which the flags say.
func (o *serving) planOf(file *config.File, where string) (sidecar.Plan, error) {
	plan := sidecar.Plan{Crossings: file.Crossings}
	if file.Serve != nil {
		plan.Serve = *file.Serve
	}
	switch {
	case o.ecs != "" || len(o.imds) > 0 || len(o.gce) > 0:
		endpoints, err := o.endpoints(file)
		if err != nil {
			return plan, err
		}
		plan.Serve.Endpoints, plan.Serve.Files = endpoints, nil
	case file.Serve == nil:
		return plan, &stile.Error{Op: "choose what to serve", Err: fmt.Errorf("%w: %s has no serve block", stile.ErrMisuse, shown(where)),
			Hint: "add one, or say by flags what to serve: --ecs ADDRESS, --imds CROSSING=ADDRESS, --gce CROSSING=ADDRESS"}
	}
	if file.Serve != nil {
		if err := o.trusted(plan.Serve, where); err != nil {
			return plan, err
		}
	}
	if o.users != nil {
		plan.Serve.AllowUsers = o.users
	}
	if o.admin != "" {
		plan.Serve.Admin = o.admin
		if strings.HasPrefix(o.admin, "unix:") {
			plan.Serve.AdminTLS = nil
		}
	}
	return plan, nil
}

// trusted refuses a serve block that the user did not choose: one that merely lies in the current folder may have come
// with a checkout. One from elsewhere is whoever's can write there, and names no files of this machine.
func (o *serving) trusted(s config.Serve, where string) error {
	const op = "choose what to serve"
	if where == configHere && o.configFile == "" {
		return &stile.Error{Op: op, Err: fmt.Errorf("%w: you did not name this stile.yaml, and its serve block says what is handed out, where and to whom", stile.ErrMisuse), Hint: "name it: --config stile.yaml"}
	}
	if !strings.Contains(where, "://") {
		return nil
	}
	if len(s.Files) > 0 || s.AdminTLS != nil || slices.ContainsFunc(s.Endpoints, ofThisMachine) {
		return misuse(op, "%s names files of this machine, and is not on it: only a file on this machine may", shown(where))
	}
	return nil
}

// ofThisMachine reports whether the endpoint names files here, or says who else may read one.
func ofThisMachine(e config.Endpoint) bool {
	return e.TokenFile != "" || e.TokenMode != "" || e.TokenGroup != "" || e.TLS != nil
}

func (o *serving) endpoints(file *config.File) ([]config.Endpoint, error) {
	var all []config.Endpoint
	if o.ecs != "" {
		names := slices.DeleteFunc(file.Names(), func(name string) bool { return file.Crossings[name].To.AWS == nil })
		if len(names) == 0 {
			return nil, misuse("read the flags", "--ecs: no crossing leads into AWS")
		}
		all = append(all, config.Endpoint{ECS: names, Listen: o.ecs})
	}
	for flag, given := range map[string][]string{"imds": o.imds, "gce": o.gce} {
		for _, text := range given {
			name, address, ok := strings.Cut(text, "=")
			if !ok {
				return nil, misuse("read the flags", "--%s %.100q: want CROSSING=ADDRESS", flag, text)
			}
			c, err := file.Crossing(name)
			if err != nil {
				return nil, err
			}
			e := config.Endpoint{Listen: address}
			switch {
			case flag == "imds" && c.To.AWS != nil:
				e.IMDS = c.Name
			case flag == "gce" && c.To.GCP != nil && c.To.GCP.IDToken == nil:
				e.GCE = c.Name
			default:
				return nil, misuse("read the flags", "--%s %s: this crossing does not lead there: %s", flag, name, describe(c))
			}
			all = append(all, e)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Kind()+all[i].Listen < all[j].Kind()+all[j].Listen })
	return all, nil
}

// lines lets several write whole lines.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}
