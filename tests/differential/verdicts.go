// verdicts.go answers the questions that verdicts.cc answers, by Go's crypto/x509, which Consul's own
// proxy believes, and by the leaf rules of X509-SVID written down a second time, from the specification.
//
// A line of input: {"roots", "chain", "domain", "role", "now"}; a line of output: `accept SPIFFE-ID` or
// `refuse WHY`. With "path": true the leaf rules are left out. Only the standard library.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

type question struct {
	Roots  []string `json:"roots"`
	Chain  []string `json:"chain"`
	Domain string   `json:"domain"`
	Role   string   `json:"role"`
	Now    int64    `json:"now"`
	Path   bool     `json:"path"`
}

var (
	keyUsageID = asn1.ObjectIdentifier{2, 5, 29, 15}
	namesID    = asn1.ObjectIdentifier{2, 5, 29, 17}
	service    = regexp.MustCompile(`^spiffe://([a-z0-9._-]{1,255})(?:/ap/([A-Za-z0-9._-]+))?` +
		`/ns/([A-Za-z0-9._-]+)/dc/([A-Za-z0-9._-]+)/svc/([A-Za-z0-9._-]+)$`)
)

func parse(texts []string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, text := range texts {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		all = append(all, certificate)
	}
	return all, nil
}

// uris are the URI names with the octets that stand there: x509 gives them parsed and printed anew.
func uris(leaf *x509.Certificate) ([]string, error) {
	var found []string
	for _, extension := range leaf.Extensions {
		if !extension.Id.Equal(namesID) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(extension.Value, &names); err != nil || len(rest) > 0 {
			return nil, errors.New("svid: subjectAltName does not parse")
		}
		for _, name := range names {
			if name.Class == asn1.ClassContextSpecific && name.Tag == 6 {
				found = append(found, string(name.Bytes))
			}
		}
	}
	return found, nil
}

// svid is the identity of a leaf, by X509-SVID 2, 4 and 5.2 and SPIFFE-ID 2.
func svid(leaf *x509.Certificate, domain string) (string, error) {
	hasUsage := false
	for _, extension := range leaf.Extensions {
		hasUsage = hasUsage || extension.Id.Equal(keyUsageID)
	}
	switch {
	case leaf.IsCA:
		return "", errors.New("svid: cA is set")
	case !hasUsage:
		return "", errors.New("svid: no key usage")
	case leaf.KeyUsage&x509.KeyUsageCertSign != 0:
		return "", errors.New("svid: keyCertSign")
	case leaf.KeyUsage&x509.KeyUsageCRLSign != 0:
		return "", errors.New("svid: cRLSign")
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "", errors.New("svid: no digitalSignature")
	}
	names, err := uris(leaf)
	if err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", fmt.Errorf("svid: %d URI names", len(names))
	}
	parts := service.FindStringSubmatch(names[0])
	if len(names[0]) > 2048 || parts == nil || parts[2] == "default" {
		return "", errors.New("svid: no service's SPIFFE ID")
	}
	for _, part := range parts[2:] {
		if part == "." || part == ".." {
			return "", errors.New("svid: no service's SPIFFE ID")
		}
	}
	if parts[1] != domain {
		return "", errors.New("svid: of another trust domain")
	}
	return names[0], nil
}

func verdict(q question) (string, error) {
	roots, err := parse(q.Roots)
	if err != nil {
		return "", fmt.Errorf("a root: %w", err)
	}
	chain, err := parse(q.Chain)
	if err != nil {
		return "", fmt.Errorf("parse: %w", err)
	}
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: time.Unix(q.Now, 0),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if q.Role == "client" {
		options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, root := range roots {
		options.Roots.AddCert(root)
	}
	for _, hint := range chain[1:] {
		options.Intermediates.AddCert(hint)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return "", err
	}
	if q.Path {
		return "", nil
	}
	return svid(chain[0], q.Domain)
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			fmt.Fprintln(out, "error", err)
			continue
		}
		id, err := verdict(q)
		if err != nil {
			fmt.Fprintln(out, "refuse", strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\n", " "), "?"))
		} else {
			fmt.Fprintln(out, strings.TrimSpace("accept "+id))
		}
	}
}
