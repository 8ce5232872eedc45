//go:build fronts

package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/envoy"
)

// bootNginx wraps the printed file as /etc/nginx/nginx.conf does.
func bootNginx(t *testing.T, b *behind) *exec.Cmd {
	write(t, filepath.Join(b.dir, "patgate.conf"), b.config(t, "nginx"))
	return nginx(t, b, "include patgate.conf;")
}

// nginx runs Debian's nginx with what is within http {}.
func nginx(t *testing.T, b *behind, http string) *exec.Cmd {
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "  %s_temp_path %s;\n", kind, filepath.Join(b.dir, kind))
	}
	if b.trusting {
		http = "set_real_ip_from 127.0.0.1;\n  real_ip_header X-Forwarded-For;\n  " + http
	}
	write(t, filepath.Join(b.dir, "nginx.conf"), "daemon off;\nmaster_process off;\npid "+filepath.Join(b.dir, "pid")+";\nerror_log stderr;\n"+
		"events { worker_connections 512; }\nhttp {\n  access_log off;\n"+temp.String()+
		"  "+http+"\n}\n")
	return exec.Command(installed(t, "debian", "root", "usr", "sbin", "nginx"), "-p", b.dir, "-e", "stderr", "-c", filepath.Join(b.dir, "nginx.conf"))
}

// bootIngressNginx runs what the controller's template makes of the printed annotations: its own location for
// auth-url, and the headers of its ConfigMap.
func bootIngressNginx(t *testing.T, b *behind) *exec.Cmd {
	text := frontConfig(t, "--for", "ingress-nginx", "--manifests", b.manifests, "--upstream", b.api, "--patgate", b.checks)
	var annotations struct {
		Metadata struct{ Annotations map[string]string }
	}
	var settings struct{ Data map[string]string }
	d := yaml.NewDecoder(strings.NewReader(text))
	if err := errors.Join(d.Decode(&annotations), d.Decode(&settings)); err != nil {
		t.Fatal(err)
	}
	const prefix = "nginx.ingress.kubernetes.io/"
	var set, headers strings.Builder
	for i, name := range strings.Split(annotations.Metadata.Annotations[prefix+"auth-response-headers"], ",") {
		variable := strings.ReplaceAll(strings.ToLower(name), "-", "_")
		fmt.Fprintf(&set, "auth_request_set $authHeader%d $upstream_http_%s;\n", i, variable)
		fmt.Fprintf(&headers, "proxy_set_header '%s' $authHeader%d;\n", name, i)
	}
	for name, value := range settings.Data {
		fmt.Fprintf(&headers, "proxy_set_header %s %q;\n", name, value)
	}
	template, err := os.ReadFile("fronts/ingress-nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("LISTEN", b.clients, "UPSTREAM", b.api, "AUTH-URL", annotations.Metadata.Annotations[prefix+"auth-url"],
		"AUTH-SET", set.String(), "HEADERS", headers.String()).Replace(string(template))
	return nginx(t, b, config)
}

func bootCaddy(t *testing.T, b *behind) *exec.Cmd {
	config := b.config(t, "caddy")
	if b.trusting {
		if b.keys != "" {
			config = replacing(t, "\t\tprotocols h1 h2\n", "\t\tprotocols h1 h2\n\t\ttrusted_proxies static 127.0.0.0/8\n")(config)
		} else {
			config = replacing(t, "{\n\tadmin off\n", "{\n\tadmin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}\n")(config)
		}
	}
	write(t, filepath.Join(b.dir, "Caddyfile"), config)
	cmd := exec.Command(installed(t, "caddy", "caddy"), "run", "--config", filepath.Join(b.dir, "Caddyfile"), "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_DATA_HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir)
	return cmd
}

// bootTraefik runs the two printed files.
func bootTraefik(t *testing.T, b *behind) *exec.Cmd {
	return traefik(t, b, b.config(t, "traefik", "--max-request-bytes", "8192"))
}

// traefik runs Traefik with the two files of a text.
func traefik(t *testing.T, b *behind, config string) *exec.Cmd {
	const dynamic = "/etc/traefik/patgate.yaml"
	static, rules, found := strings.Cut(config, "\n---\n")
	if !found {
		t.Fatal("front-config --for traefik does not print two files")
	}
	file := filepath.Join(b.dir, "patgate.yaml")
	static = replacing(t, dynamic, file)(static)
	if b.trusting {
		static = replacing(t, "    forwardedHeaders: {insecure: false}\n", "    forwardedHeaders: {insecure: false}\n    proxyProtocol: {trustedIPs: [127.0.0.0/8]}\n")(static)
	}
	write(t, filepath.Join(b.dir, "traefik.yaml"), static)
	write(t, file, rules)
	return exec.Command(installed(t, "traefik", "traefik"), "--configfile", filepath.Join(b.dir, "traefik.yaml"))
}

func bootHAProxy(t *testing.T, b *behind) *exec.Cmd {
	script := filepath.Join(b.dir, "patgate.lua")
	write(t, script, frontConfig(t, "--for", "haproxy-lua", "--manifests", b.manifests))
	config := b.config(t, "haproxy")
	config = replacing(t, "/etc/haproxy/patgate.lua", script)(config)
	if b.trusting {
		config = replacing(t, "    http-request lua.patgate\n", "    http-request set-src hdr_ip(x-forwarded-for,-1)\n    http-request lua.patgate\n")(config)
	}
	write(t, filepath.Join(b.dir, "haproxy.cfg"), config)
	return haproxy(t, "-W", "-f", filepath.Join(b.dir, "haproxy.cfg"))
}

// haproxy runs Debian's HAProxy with the libraries that came with it.
func haproxy(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.Command(installed(t, "debian", "root", "usr", "sbin", "haproxy"), args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+installed(t, "debian", "root", "usr", "lib", runtimeTriple()))
	return cmd
}

// runtimeTriple names Debian's folder of libraries.
func runtimeTriple() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}

func bootEnvoy(t *testing.T, b *behind) *exec.Cmd {
	write(t, filepath.Join(b.dir, "envoy.yaml"), b.config(t, "envoy", "--admin", freeAddr(t), "--max-request-bytes", "8192"))
	program, err := envoy.Binary()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(program, "-c", filepath.Join(b.dir, "envoy.yaml"), "--disable-hot-restart", "--log-level", "error", "--concurrency", "1")
}
