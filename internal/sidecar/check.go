// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/outlet"
)

// Check reports what [Sidecar.Apply] would refuse of a plan on this machine, as far as that can be told without asking
// anyone, opening an address or writing a file: users and groups that there are none of, certificates that cannot be
// read, files that are one, and those that may not be written. A folder that is missing may be there by the time.
func (o Options) Check(p Plan) error {
	var wrong []error
	note := func(place string, err error) {
		if err != nil {
			wrong = append(wrong, placed(place, err))
		}
	}
	_, err := usersOf(p.Serve.AllowUsers)
	note("", err)
	note("", o.checkCertificate(p.Serve.AdminTLS))
	for _, e := range p.Serve.Endpoints {
		note(e.Place, o.checkCertificate(e.TLS))
		note(e.Place, checkGroup(e.TokenGroup, "token_group"))
		note(e.Place, o.checkTokenFile(e))
	}
	var kept []outlet.Kept
	for _, k := range p.Serve.Files {
		file, err := o.fileOf(k)
		if err == nil {
			err = checkGroup(file.Group, "group")
		}
		if err != nil {
			note(k.Place, err)
			continue
		}
		kept = append(kept, outlet.Kept{File: file, Supplier: unasked{}, Place: k.Place})
	}
	files, err := outlet.NewFiles(kept, outlet.Options{})
	note("", err)
	if err == nil {
		wrong = append(wrong, misuses(files.Check())...)
	}
	return errors.Join(wrong...)
}

// misuses are those of joined errors that neither time nor another user mends.
func misuses(err error) (all []error) {
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return nil
	}
	for _, one := range joined.Unwrap() {
		if errors.Is(one, stile.ErrMisuse) {
			all = append(all, one)
		}
	}
	return all
}

// unasked stands where a keeper will: nothing is written.
type unasked struct{}

func (unasked) Credential(context.Context) (stile.Credential, error) {
	return stile.Credential{}, stile.ErrTemporary
}

func checkGroup(name, key string) error {
	if name == "" {
		return nil
	}
	if _, err := groupID(name); err != nil {
		return misuse("find the group that may read the file", "name a group of this machine, or its number: "+key, "%v", err)
	}
	return nil
}

func (o Options) checkTokenFile(e config.Endpoint) error {
	if e.TokenFile == "" {
		return nil
	}
	path, err := o.TokenFile(e)
	if err != nil {
		return err
	}
	_, err = settled(path)
	return err
}

// checkCertificate never quotes what the files hold.
func (o Options) checkCertificate(t *config.TLS) error {
	files, err := o.certificate(t)
	if err != nil || files == nil {
		return err
	}
	if _, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile); err != nil {
		return misuse("read the certificate", "check "+files.CertFile+" and "+files.KeyFile+": both PEM, and the key the certificate's own", "%v", err)
	}
	return nil
}
