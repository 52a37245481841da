#!/usr/bin/env python3
"""The compose file: valid by the specification's schema, v1's profiles, hardened, and without secrets."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import redis
import yaml

HERE = Path(__file__).resolve().parent
FILE = HERE / "compose.yaml"
TEXT = FILE.read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
# Profile → what runs.
CENTRAL = {"redis-shared", "signaling", "launcher"}
PROFILES = {
    "single_host_cpu": {"redis", "signaling", "launcher", "worker-cpu"},
    "single_host_gpu": {"redis", "signaling", "launcher", "worker-gpu"},
    "central": CENTRAL,
    "central_with_inference_cpu": CENTRAL | {"worker-cpu"},
    "central_with_inference_gpu": CENTRAL | {"worker-gpu"},
    "inference_cpu": {"worker-cpu"},
    "inference_gpu": {"worker-gpu"},
    "trial": {"redis", "signaling-trial", "launcher", "worker-cpu"},
    "turn": {"coturn"},
    "tools": {"token"},
    "monitoring": {"prometheus", "grafana"},
}
REFERENCE_WITH_DEFAULT = re.compile(r"(?<!\$)\$\{(\w+):-([^${}]*)\}")
REFERENCE = re.compile(r"(?<!\$)\$\{(\w+)(:-)?")


class File(unittest.TestCase):
    def test_the_specification_allows_it(self):
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_profiles_start_what_they_say(self):
        found = {}
        for name, service in SERVICES.items():
            self.assertTrue(service.get("profiles"), f"{name} would run under every profile")
            for profile in service["profiles"]:
                found.setdefault(profile, set()).add(name)
        self.assertEqual(found, PROFILES)

    def test_services_are_locked_up(self):
        for name, service in SERVICES.items():
            self.assertIs(service.get("read_only"), True, name)
            self.assertEqual(service.get("cap_drop"), ["ALL"], name)
            self.assertIn("no-new-privileges:true", service.get("security_opt"), name)
            self.assertRegex(service["image"], r":[^/]+$", f"{name} names no version")

    def test_no_secret_stands_in_it(self):
        for name, service in SERVICES.items():
            for variable, value in (service.get("environment") or {}).items():
                if re.search("PASSWORD|SECRET|TOKEN|AUTH_KEY", variable):
                    self.assertRegex(value, "^/run/secrets/", f"{name}: {variable}")
            for secret in service.get("secrets", []):
                self.assertIn(secret, COMPOSE["secrets"])

    def test_what_is_mounted_is_there(self):
        for name, service in SERVICES.items():
            for volume in service.get("volumes", []):
                source = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":")[0]
                if source.startswith("."):
                    self.assertTrue((HERE / source).exists(), f"{name} mounts {source}")
                else:
                    self.assertIn(source, COMPOSE["volumes"])

    def test_every_variable_has_a_default_and_every_example_is_used(self):
        used = dict(REFERENCE.findall(TEXT))
        self.assertEqual([name for name, default in used.items() if not default], [])
        examples = re.findall(r"^#?(\w+)=", (HERE / "env.example").read_text(), re.MULTILINE)
        self.assertEqual([name for name in examples if name not in used], [])

    def test_signaling_asks_for_tokens_and_speaks_tls(self):
        service = SERVICES["signaling"]
        defaults = {name: REFERENCE_WITH_DEFAULT.sub(r"\2", value) for name, value in service["environment"].items()}
        self.assertEqual(defaults["SIGHTLINE_AUTH_ALGORITHM"], "EdDSA")
        self.assertEqual(defaults["SIGHTLINE_AUTH_KEY_FILE"], "/run/secrets/token_pub")
        self.assertEqual(defaults["SIGHTLINE_TLS"], "self-signed")
        self.assertEqual(defaults["SIGHTLINE_INSECURE"], "")
        # What asks for none is seen by this host alone.
        (port,) = SERVICES["signaling-trial"]["ports"]
        self.assertTrue(port.startswith("127.0.0.1:"))

    def test_one_service_has_the_key_that_makes_tokens_and_no_network(self):
        having = [name for name, service in SERVICES.items() if "token_key" in service.get("secrets", [])]
        self.assertEqual(having, ["token"])
        self.assertEqual(SERVICES["token"]["network_mode"], "none")
        self.assertNotIn("ports", SERVICES["token"])

    def test_prometheus_asks_where_signaling_answers_and_nobody_else_does(self):
        asked = yaml.safe_load((HERE / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["dns_sd_configs"]
        ports = {name: one["port"] for one in asked for name in one["names"]}
        for name in ("signaling", "signaling-trial"):
            service = SERVICES[name]
            self.assertEqual(service["environment"]["SIGHTLINE_METRICS_BIND"], f"0.0.0.0:{ports['signaling']}")
            self.assertFalse(any(str(ports["signaling"]) in port for port in service["ports"]))

    def test_our_programs_know_their_variables(self):
        source = "".join(path.read_text() for folder in ("signaling", "pipeline-launcher", "protocol")
                         for path in (HERE.parent / folder).rglob("*.rs"))
        for name, service in SERVICES.items():
            if "sightline-" not in service["image"]:
                continue
            for variable in service["environment"]:
                self.assertIn(f'"{variable}"', source + '"RUST_LOG"', f"{name} sets {variable}, which nobody reads")

    @unittest.skipUnless(shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True).returncode == 0, "docker compose is not installed")
    def test_compose_itself_takes_every_profile(self):
        for profile, services in PROFILES.items():
            command = ["docker", "compose", "-f", str(FILE), "--profile", profile, "config", "--services"]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(set(done.stdout.split()), services, profile)


class Secrets(unittest.TestCase):
    def test_they_are_made_once_for_their_owner_and_what_is_mounted_is_among_them(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(HERE / "secrets.sh", folder)
            made = Path(folder) / "secrets"
            contents = []
            for _ in range(2):
                subprocess.run([Path(folder) / "secrets.sh"], check=True)
                contents.append({path.name: path.read_text() for path in made.iterdir()})
            self.assertEqual(*contents)
            self.assertEqual(made.stat().st_mode & 0o777, 0o700)
            self.assertEqual({Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}, contents[0].keys())
            self.assertTrue(contents[0]["token.key"].startswith("-----BEGIN PRIVATE KEY-----"))
            self.assertTrue(contents[0]["token.pub"].startswith("-----BEGIN PUBLIC KEY-----"))


class RunningRedis(unittest.TestCase):
    def test_its_command_starts_a_redis_that_keeps_nothing_and_asks_for_the_password(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "redis_password").write_text("p ss#word")
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            script = SERVICES["redis"]["command"][2].replace("$$", "$").replace("/run/secrets", folder)
            script = script.replace("/etc/redis.conf", str(HERE / "redis/redis.conf"))
            server = subprocess.Popen(["sh", "-c", script], env={**os.environ, "REDIS_PORT": str(port)}, stdout=subprocess.DEVNULL)
            try:
                client = redis.Redis(port=port, password="p ss#word")
                for _ in range(100):
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        time.sleep(0.1)
                wanted = {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
                self.assertEqual({key: client.config_get(key)[key] for key in wanted}, wanted)
                with self.assertRaises(redis.AuthenticationError):
                    redis.Redis(port=port).ping()
                client.shutdown(nosave=True)
            finally:
                server.terminate()
                server.wait(10)


if __name__ == "__main__":
    unittest.main()
