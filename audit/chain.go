package audit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// ChainKey is the key of chained logs. It seals each line, and signs checkpoints. A public key can only check
// checkpoints. Make one with ParseChainKey.
type ChainKey struct {
	name     string
	secret   []byte      // nil: a public key
	signer   note.Signer // nil: a public key
	verifier note.Verifier
}

// NewChainKey makes a key with the name of a log, such as audit.example.com: its private and its public form, in
// the format of https://c2sp.org/signed-note.
func NewChainKey(name string) (private, public string, err error) {
	if name == "" || strings.ContainsAny(name, "+ \t\r\n") {
		return "", "", errors.New("expected a name without spaces and `+`, such as audit.example.com")
	}
	return note.GenerateKey(rand.Reader, name)
}

var errChainKey = errors.New("it is no key of a chained log, expected what `patgate audit key` makes")

// ParseChainKey reads a private or a public key. Its errors do not repeat it.
func ParseChainKey(text string) (*ChainKey, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "PRIVATE+KEY+") {
		verifier, err := note.NewVerifier(text)
		if err != nil {
			return nil, errChainKey
		}
		return &ChainKey{name: verifier.Name(), verifier: verifier}, nil
	}
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, errChainKey
	}
	public, err := publicOf(text)
	if err != nil {
		return nil, errChainKey
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return nil, errChainKey
	}
	return &ChainKey{name: signer.Name(), secret: []byte(text), signer: signer, verifier: verifier}, nil
}

// Private reports whether the key can seal and check lines.
func (k *ChainKey) Private() bool { return k.secret != nil }

// tagSize is the length of a seal in its text form.
const tagSize = 22

// tag is the seal of a line: the first 16 bytes in base64, without padding.
type tag [tagSize]byte

// The place of the seal in a line before it is known.
const noTag = "......................"

// chainField begins the field of a line that holds the seal of the line before, a dot, and that of the line.
const chainField = `,"chain":"`

// Sealer seals the lines of one process, or checks their seals: AES-256-GMAC (NIST SP 800-38D) over the line, in which
// dots are in the place of its own seal, with the number of the line as the nonce and a key of the process.
type Sealer struct {
	aead  cipher.AEAD
	nonce [12]byte
	sum   [aes.BlockSize]byte
	line  []byte
}

// Sealer returns the sealer of a process. The key must be private.
func (k *ChainKey) Sealer(instance string) *Sealer {
	key, err := hkdf.Key(sha256.New, k.secret, nil, "patgate audit chain 1\n"+instance, 32)
	if err != nil {
		panic(err) // the length is allowed
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length is allowed
	}
	s := new(Sealer)
	if s.aead, err = cipher.NewGCM(block); err != nil {
		panic(err) // AES has the right block size
	}
	return s
}

// tag seals a line that has dots in the place of its seal.
func (s *Sealer) tag(line []byte, seq uint64) (t tag) {
	binary.BigEndian.PutUint64(s.nonce[4:], seq)
	base64.RawURLEncoding.Encode(t[:], s.aead.Seal(s.sum[:0], s.nonce[:], nil, line))
	return t
}

// first is what the first line of a process has in the place of the seal before it.
func (s *Sealer) first(instance string) tag { return s.tag([]byte(instance), 0) }

// Seal is the part of a line that links it to the line before.
type Seal struct{ Before, Own string }

// SealOf reads the chain of an event. ok is false where there is none.
func SealOf(l *Logged) (seal Seal, ok bool) {
	if len(l.Chain) != 2*tagSize+1 || l.Chain[tagSize] != '.' {
		return Seal{}, false
	}
	return Seal{l.Chain[:tagSize], l.Chain[tagSize+1:]}, true
}

// First is the seal that the first line of a process refers to.
func (s *Sealer) First(instance string) string {
	t := s.first(instance)
	return string(t[:])
}

// Good reports whether a line is as it was written: byte for byte. A collector that decodes and encodes lines
// breaks their seals.
func (s *Sealer) Good(e *Entry) bool {
	seal, ok := SealOf(&e.Logged)
	begin := string(strconv.AppendUint([]byte(head), e.Seq, 10)) + chainField
	own := len(begin) + tagSize + 1
	if !ok || len(e.JSON) < own+tagSize || string(e.JSON[:len(begin)]) != begin || string(e.JSON[own:own+tagSize]) != seal.Own {
		return false
	}
	s.line = append(s.line[:0], e.JSON...)
	copy(s.line[own:], noTag)
	t := s.tag(s.line, e.Seq)
	return string(t[:]) == seal.Own
}

// chain holds the state with which the writer of a log seals lines.
type chain struct {
	key      *ChainKey
	sealer   *Sealer
	instance string
	last     tag // of the last line whose first bytes are written
}

func newChain(key *ChainKey, instance string) *chain {
	if key == nil {
		return nil
	}
	c := &chain{key: key, sealer: key.Sealer(instance), instance: instance}
	c.last = c.sealer.first(instance)
	return c
}

// append appends the line of an entry, which follows one with the seal before.
func (c *chain) append(b []byte, en *entry, seq uint64, before tag) ([]byte, tag) {
	start := len(b)
	b = append(b, head...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, chainField...)
	b = append(b, before[:]...)
	b = append(b, '.')
	own := len(b)
	b = append(b, noTag...)
	b = append(b, '"')
	if en.checkpoint != noCheckpoint {
		b = c.appendNote(b, seq-1, before, en.checkpoint == lastCheckpoint)
	}
	b = append(b, en.line...)
	t := c.sealer.tag(b[start:len(b)-1], seq) // without the line end
	copy(b[own:], t[:])
	return b, t
}

// checkpoint says whether an entry is a checkpoint, and whether it is the last one of its process.
type checkpoint uint8

const (
	noCheckpoint checkpoint = iota
	someCheckpoint
	lastCheckpoint
)

// lastNote ends the note of the last checkpoint of a process.
const lastNote = "closed"

// appendNote appends the field with the signed checkpoint (https://c2sp.org/tlog-checkpoint): the log is one
// process, its size the number of its last event, its root hash that of this event's seal.
func (c *chain) appendNote(b []byte, size uint64, seal tag, last bool) []byte {
	text := noteText(c.key.name, c.instance, size, string(seal[:]))
	if last {
		text += lastNote + "\n"
	}
	signed, err := note.Sign(&note.Note{Text: text}, c.key.signer)
	if err != nil {
		return b // a checkpoint without a note is found
	}
	quoted, err := json.Marshal(string(signed))
	if err != nil {
		return b
	}
	return append(append(b, `,"note":`...), quoted...)
}

func noteText(name, instance string, size uint64, seal string) string {
	root := sha256.Sum256([]byte(seal))
	return fmt.Sprintf("%s/%s\n%d\n%s\n", name, instance, size, base64.StdEncoding.EncodeToString(root[:]))
}

// CheckCheckpoint returns what is wrong with a checkpoint, or nothing. Last reports whether its process wrote no
// event after it.
func (k *ChainKey) CheckCheckpoint(l *Logged) (wrong string, last bool) {
	signed, err := note.Open([]byte(l.Note), note.VerifierList(k.verifier))
	if err != nil {
		return "its note has no signature of " + k.name, false
	}
	seal, ok := SealOf(l)
	text, last := strings.CutSuffix(signed.Text, lastNote+"\n")
	if !ok || text != noteText(k.name, l.Instance, l.Seq-1, seal.Before) {
		return "its note is of another event", false
	}
	return "", last
}

// checkpoints queues a checkpoint where events came since the last one, until the log is done.
func (l *Log) checkpoints(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.mu.Lock()
			if !l.closing {
				l.enqueueCheckpoint(someCheckpoint)
			}
			l.mu.Unlock()
		case <-l.done:
			return
		}
	}
}

// enqueueCheckpoint queues a checkpoint if there is something to check, and room.
func (l *Log) enqueueCheckpoint(kind checkpoint) {
	if l.chain == nil || l.seq == l.checked && kind != lastCheckpoint {
		return
	}
	en := entries.Get().(*entry)
	en.checkpoint = kind
	en.line = appendEvent(en.line[:0], &Event{Time: l.o.Now(), Kind: Checkpoint, Severity: Info}, l.o.Instance)
	if !l.hasRoom(en) {
		en.recycle()
		return
	}
	l.push(en, false)
	l.checked = l.seq
}

// publicOf is the public form of a private key.
func publicOf(private string) (string, error) {
	parts := strings.SplitN(private, "+", 5) // PRIVATE, KEY, name, hash, key
	if len(parts) != 5 {
		return "", errChainKey
	}
	const algorithm = 1 // Ed25519
	key, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(key) != 1+ed25519.SeedSize || key[0] != algorithm {
		return "", errChainKey
	}
	return note.NewEd25519VerifierKey(parts[2], ed25519.NewKeyFromSeed(key[1:]).Public().(ed25519.PublicKey))
}
