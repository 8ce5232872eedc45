package migrate

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/patgate/patgate/token"
)

// valueProblem returns why a text can't be a token's value, or "" if it can. A value that is
// in a repository must never become a token: ciphertext, templates and placeholders are refused,
// and so is what no client presents as it is. The answer holds nothing of the value.
func valueProblem(value string) string {
	trimmed := strings.TrimSpace(value)
	for _, find := range []func(string) string{encrypted, masked, isJSON, template, structured, encoded} {
		if problem := find(trimmed); problem != "" {
			return problem
		}
	}
	return unusable(value)
}

// Kinds of ciphertext, by how they begin, and what decrypts them.
var ciphertexts = []struct{ prefix, problem string }{
	{"ENC[", "its value is encrypted by SOPS, decrypt the file first: sops decrypt FILE"},
	{"$ANSIBLE_VAULT;", "its value is encrypted by Ansible Vault, decrypt it first"},
	{"-----BEGIN AGE ENCRYPTED FILE", "its value is encrypted by age, decrypt it first"},
	{"age-encryption.org/", "its value is encrypted by age, decrypt it first"},
	{"-----BEGIN PGP MESSAGE", "its value is encrypted by PGP, decrypt it first"},
	{"vault:v1:", "its value is encrypted by Vault, decrypt it first"},
}

// minSealed is the least length of a SealedSecret's ciphertext: its key alone takes 512 bytes.
const minSealed = 680

// encrypted finds ciphertext: its digest would be that of a text that everybody may read.
func encrypted(value string) string {
	for _, c := range ciphertexts {
		if strings.HasPrefix(value, c.prefix) {
			return c.problem
		}
	}
	if strings.Contains(value, "ENC[AES256_GCM") {
		return ciphertexts[0].problem
	}
	if _, err := base64.StdEncoding.DecodeString(value); err == nil && len(value) >= minSealed && strings.HasPrefix(value, "Ag") {
		return "its value is encrypted by Sealed Secrets, take the Secret that the controller made of it"
	}
	return ""
}

func masked(value string) string {
	if strings.Contains(value, "***") || strings.Contains(value, "...") || strings.ContainsAny(value, "•●…") || maskWord.MatchString(value) {
		return "its value is masked, expected the value itself"
	}
	return ""
}

var maskWord = regexp.MustCompile(`(?i)redacted|\bmasked\b|\bhidden\b|\bomitted\b`)

// Texts that a tool replaces by a value: of Helm, Go and Jinja; of Flux, shells and Terraform;
// ERB; Makefiles; Azure; Argo CD's Vault plugin and handwritten <your-token>; autoconf; Windows.
var placeholders = regexp.MustCompile(`\{\{|\}\}|\$\{|\{%|<%|\$\([^)]*\)|#\{[^}]*\}|%\(\w+\)s|` +
	`<\s*[A-Za-z][-\w .:/#|]*>|\[\[.+\]\]|^\[[A-Za-z][-\w ]*\]$|^\{[A-Za-z][-\w .]*\}$|@@\w+@@|^@[A-Za-z][\w.-]*@$|^__.+__$|^%\w+%$|^\$[A-Za-z_]\w*$`)

// References to where a value is kept: 1Password, vals and helm-secrets, bank-vaults, cloud providers,
// Azure, Kubernetes and Knative.
var references = regexp.MustCompile(`(?i)^(op://|ref\+\w+://|secrets?\+\w+://|vault:|secretref:|secret://|arn:aws[-a-z]*:|projects/[^/]+/secrets/|` +
	`gcp:secretmanager|awssm://|gcpsm://|azkv://|@microsoft\.keyvault\(|file://|env://|env:\w+$|sm://|bws://|doppler://|infisical://|k8s:)`)

// variable is the name of an environment variable, such as CI_BOT_API_KEY_PRODUCTION.
var variable = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+$`)

// template finds placeholders that are no values.
func template(value string) string {
	switch {
	case placeholders.MatchString(value):
		return "its value is a template or placeholder, expected the value that replaces it: render the file first"
	case references.MatchString(value):
		return "its value is a reference to a value that is kept elsewhere, expected the value itself"
	case variable.MatchString(value):
		return "its value is the name of a variable, expected the variable's value"
	}
	return ""
}

var (
	url        = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)
	hash       = regexp.MustCompile(`^(\$(2[abxy]?|apr1|argon2(id|i|d)|[156y]|7|gy|scrypt|pbkdf2[-\w]*|md5|sha1)\$|\{(S?SHA|SSHA\d*|SHA\d+|MD5|SMD5|CRYPT|PBKDF2)[^}]*\}|(sha(1|224|256|384|512)|md5|bcrypt|pbkdf2[_:]?\w*)[:$])`)
	httpScheme = regexp.MustCompile(`(?i)^(basic|bearer|apikey|api-key|token|digest|authorization:|x-api-key:)\s`)
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*\s*[=:]\s+\S|^(export )?[A-Z_][A-Z0-9_]{2,}=[^=]`)
)

// isJSON finds objects and arrays of JSON.
func isJSON(value string) string {
	switch {
	case !strings.HasPrefix(value, "{") && !strings.HasPrefix(value, "["), !json.Valid([]byte(value)):
		return ""
	case strings.Contains(value, `"auths"`):
		return "its value is a docker configuration, expected an API key"
	}
	return "its value is JSON, expected an API key"
}

// structured finds values that are files, certificates, passwords' hashes and signed tokens.
func structured(value string) string {
	switch {
	case strings.Contains(value, "-----BEGIN ") || strings.HasPrefix(value, "ssh-rsa ") || strings.HasPrefix(value, "ssh-ed25519 "):
		return "its value is a key or certificate (PEM), expected an API key"
	case isJWT(value):
		return "its value is a JWT, whose issuer checks it and ends it: create a token instead"
	case url.MatchString(value):
		return "its value is a URL, expected an API key"
	case hash.MatchString(value):
		return "its value is a hash of a password, from which the digest of the password can't be made: create a token instead"
	case httpScheme.MatchString(value):
		return "its value begins with a scheme or a header's name, expected the API key that follows it"
	case assignment.MatchString(value):
		return "its value is a setting with a name before it, expected the API key alone"
	}
	return ""
}

// isJWT reports whether a value is a signed or encrypted JSON Web Token.
func isJWT(value string) bool {
	header, rest, found := strings.Cut(value, ".")
	return found && strings.Contains(rest, ".") && json.Valid([]byte(decode(header)))
}

// encoded finds base64 of what is no API key, such as the user:secret of Basic.
func encoded(value string) string {
	text := strings.TrimSpace(decode(value))
	if text == "" || strings.IndexFunc(text, notText) >= 0 {
		return ""
	}
	for _, find := range []func(string) string{encrypted, masked, isJSON, template, structured, encoded} {
		if problem := find(text); problem != "" {
			return problem + onceMore
		}
	}
	switch user, secret, found := strings.Cut(text, ":"); {
	case found && user != "" && secret != "":
		return "its value is base64 of user:secret, as Basic carries it, expected the secret alone"
	case placeholder(text) != "":
		return placeholder(text) + onceMore
	}
	return ""
}

const onceMore = " (it is base64 once more)"

// decode returns the text that another one is base64 of, in any of the alphabets, or "". Lines may be broken.
func decode(text string) string {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(text)
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || !utf8.Valid(data) {
		return ""
	}
	return string(data)
}

func notText(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.IsSpace(r)
}

// minValue is the shortest value, in bytes, that is taken: a digest in Git gives away a
// value that can be guessed.
const minValue = 20

// unusable finds values that can be guessed, or that no client can present.
func unusable(value string) string {
	switch {
	case value == "":
		return "it has no value"
	case !utf8.ValidString(value) || strings.IndexFunc(value, unicode.IsControl) >= 0:
		if problem := placeholder(strings.TrimSpace(value)); problem != "" && len(value) >= minValue {
			return problem
		}
		return "its value holds control characters or is not UTF-8, which no client could present"
	case strings.TrimSpace(value) != value:
		return "its value begins or ends with a blank, which clients lose"
	case len(value) < minValue:
		return "its value has " + plural(len(value), "character") + ", expected at least " + plural(minValue, "character") + ": a digest would give it away"
	case !token.WellFormed(token.NewSecret(value)):
		return "its value begins with " + token.Prefix + " and has a wrong checksum: it is none of patgate's"
	case placeholder(value) != "":
		return placeholder(value)
	}
	return ""
}
