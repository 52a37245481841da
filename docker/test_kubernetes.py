#!/usr/bin/env python3
"""The Kubernetes manifests: valid by Kubernetes' and KEDA's schemas, and locked up as they say."""

import shutil
import subprocess
import unittest
from pathlib import Path

import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

HERE = Path(__file__).resolve().parent / "kubernetes"
BASE = HERE / "base"
OVERLAYS = sorted(path.parent for path in HERE.glob("overlays/*/kustomization.yaml"))
# The oldest and the newest that is looked at.
VERSIONS = ("1.29", "1.37")
KEDA = {"ScaledObject": keda.ScaledObject, "TriggerAuthentication": keda.TriggerAuthentication}
CONTROLLERS = ("Deployment", "DaemonSet")


def written():
    """What stands in the base's files."""
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    return [one for name in kustomization["resources"] for one in yaml.safe_load_all((BASE / name).read_text())]


def built(folder):
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def find(resources, kind, name):
    return next(one for one in resources if (one["kind"], one["metadata"]["name"]) == (kind, name))


class Manifests(unittest.TestCase):
    def check(self, resources):
        for one in resources:
            if one["apiVersion"].startswith("keda.sh/"):
                known = KEDA[one["kind"]].model_validate(one)
                # A field that KEDA does not know is lost on this way.
                self.assertEqual(known.model_dump(mode="json", by_alias=True, exclude_unset=True), one)
                continue
            for version in VERSIONS:
                kubernetes_validate.validate(one, version, strict=True)
        self.check_references(resources)

    def check_references(self, resources):
        """Names and labels that one resource has of another."""
        pods = {}
        for one in resources:
            if one["kind"] in CONTROLLERS:
                labels = one["spec"]["template"]["metadata"]["labels"]
                self.assertLessEqual(one["spec"]["selector"]["matchLabels"].items(), labels.items())
                pods[one["metadata"]["namespace"], labels["app.kubernetes.io/name"]] = one
        for one in resources:
            where, spec = one["metadata"].get("namespace"), one.get("spec", {})
            if one["kind"] == "Service":
                pod = pods[where, spec["selector"]["app.kubernetes.io/name"]]["spec"]["template"]["spec"]
                ports = {value for port in pod["containers"][0]["ports"] for value in (port.get("name"), port["containerPort"])}
                self.assertTrue(all(port.get("targetPort", port["port"]) in ports for port in spec["ports"]), one)
            if one["kind"] == "ScaledObject":
                self.assertIn((where, spec["scaleTargetRef"]["name"]), pods)
                find(resources, "TriggerAuthentication", spec["triggers"][0]["authenticationRef"]["name"])

    def test_the_base_is_valid(self):
        self.check(written())

    @unittest.skipUnless(shutil.which("kubectl"), "kubectl is not installed: overlays are not built")
    def test_all_that_kustomize_builds_is_valid(self):
        self.assertGreaterEqual(len(OVERLAYS), 3)
        for folder in (BASE, *OVERLAYS):
            with self.subTest(folder.name):
                self.check(built(folder))

    @unittest.skipUnless(shutil.which("kubectl"), "kubectl is not installed: overlays are not built")
    def test_overlays_do_what_they_say(self):
        gpu, host, without = (built(HERE / "overlays" / name) for name in ("gpu", "host-network", "without-keda"))
        worker = find(gpu, "Deployment", "worker")["spec"]["template"]["spec"]["containers"][0]
        self.assertIn("launcher-gpu", worker["image"])
        self.assertEqual(worker["resources"]["limits"]["nvidia.com/gpu"], "1")
        launcher = find(host, "DaemonSet", "launcher")["spec"]["template"]["spec"]
        self.assertTrue(launcher["hostNetwork"])
        self.assertIn("ipBlock", str(find(host, "NetworkPolicy", "redis")))
        self.assertFalse(any(one["apiVersion"].startswith("keda.sh") for one in without))
        self.assertEqual(find(without, "Deployment", "worker")["spec"]["replicas"], 2)

    def test_pods_are_as_the_restricted_standard_wants_them(self):
        for one in written():
            if one["kind"] not in CONTROLLERS:
                continue
            pod, name = one["spec"]["template"]["spec"], one["metadata"]["name"]
            self.assertIs(pod["automountServiceAccountToken"], False, name)
            self.assertIs(pod["securityContext"]["runAsNonRoot"], True, name)
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, name)
            for container in pod["containers"]:
                self.assertEqual(container["securityContext"], {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, name)
                self.assertIn("memory", container["resources"]["limits"], name)
                self.assertTrue({"livenessProbe", "readinessProbe"} <= container.keys(), name)

    def test_workers_are_scaled_by_the_backlog(self):
        scaled = find(written(), "ScaledObject", "worker")["spec"]
        (trigger,) = scaled["triggers"]
        self.assertEqual(trigger["type"], "redis-streams")
        # With a consumer group KEDA would look at the pending entries, or the lag, which trimming makes wrong.
        self.assertEqual(trigger["metadata"].keys(), {"address", "stream", "streamLength"})
        self.assertEqual(trigger["metadata"]["stream"], "images")

    def test_each_session_has_a_port(self):
        container = find(written(), "DaemonSet", "launcher")["spec"]["template"]["spec"]["containers"][0]
        values = {one["name"]: one.get("value") for one in container["env"]}
        first, last = map(int, values["SIGHTLINE_UDP_PORTS"].split("-"))
        udp = [port for port in container["ports"] if port.get("protocol") == "UDP"]
        self.assertEqual([port["hostPort"] for port in udp], list(range(first, last + 1)))
        self.assertTrue(all(port["hostPort"] == port["containerPort"] for port in udp))
        self.assertEqual(int(values["SIGHTLINE_MAX_SESSIONS"]), len(udp))
        opened = find(written(), "NetworkPolicy", "launcher")["spec"]["ingress"][0]["ports"][0]
        self.assertEqual((opened["port"], opened["endPort"]), (first, last))

    def test_signaling_asks_for_tokens_and_has_metrics_apart(self):
        pod = find(written(), "Deployment", "signaling")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        values = {one["name"]: one.get("value") for one in container["env"]}
        self.assertNotIn("SIGHTLINE_INSECURE", values)
        self.assertEqual(values["SIGHTLINE_AUTH_ALGORITHM"], "EdDSA")
        mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        folder, name = values["SIGHTLINE_AUTH_KEY_FILE"].rsplit("/", 1)
        volume = next(one for one in pod["volumes"] if one["name"] == mounts[folder])
        # As the documented command makes it.
        command = f"kubectl create secret generic {volume['secret']['secretName']} --namespace sightline --from-file={name}\n"
        self.assertIn(command, (HERE.parents[1] / "docs/kubernetes.md").read_text())
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        self.assertEqual(values["SIGHTLINE_METRICS_BIND"], f"0.0.0.0:{ports['metrics']}")
        # The service, and so an ingress, has the other port only.
        self.assertEqual([one["targetPort"] for one in find(written(), "Service", "signaling")["spec"]["ports"]], ["http"])

    def test_only_who_monitors_reaches_metrics(self):
        for name, port in (("signaling", 9003), ("worker", 9001), ("launcher", 9001)):
            rules = find(written(), "NetworkPolicy", name)["spec"]["ingress"]
            sources = [rule["from"] for rule in rules if port in [one["port"] for one in rule["ports"]]]
            self.assertEqual(sources, [[{"namespaceSelector": {"matchLabels": {"sightline/monitoring": "true"}}}]], name)

    def test_redis_is_the_same_as_in_compose(self):
        compose = (HERE.parent / "redis/redis.conf").read_text()
        self.assertEqual((BASE / "redis.conf").read_text(), compose)


if __name__ == "__main__":
    unittest.main()
