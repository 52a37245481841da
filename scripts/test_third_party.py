#!/usr/bin/env python3
"""The bills of materials are CycloneDX, and they and the notices name what is in the programs."""

import json
import unittest

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import third_party


def valid(bill):
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))


class Bills(unittest.TestCase):
    def test_they_are_valid_and_tell_programs_apart(self):
        launcher, signaling = third_party.sbom("pipeline-launcher"), third_party.sbom("signaling")
        for bill in (launcher, signaling):
            self.assertIsNone(valid(bill))
        launcher, signaling = ({one["name"] for one in bill["components"]} for bill in (launcher, signaling))
        self.assertTrue({"gstreamer", "ort", "redis"} <= launcher)
        self.assertTrue({"warp", "redis"} <= signaling)
        self.assertFalse({"gstreamer", "ort"} & signaling)
        # What is only run while building or testing is in no program.
        self.assertFalse({"proptest", "gst-plugin-version-helper", "serde_derive"} & (launcher | signaling))

    def test_what_is_locked_holds_what_only_builds_and_tests(self):
        bill = third_party.locked()
        self.assertIsNone(valid(bill))
        self.assertTrue({"gstreamer", "proptest", "vite"} <= {one["name"] for one in bill["components"]})

    def test_packages_of_debian_are_added(self):
        bill = third_party.add_debian(third_party.sbom("signaling"), "libc6:amd64\t2.41-12\tamd64\tglibc\n")
        self.assertIsNone(valid(bill))
        self.assertEqual(bill["components"][-1]["purl"], "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13")

    def test_a_broken_bill_is_not_valid(self):
        self.assertIsNotNone(valid(third_party.sbom("signaling") | {"components": [{"name": "x"}]}))


class Notices(unittest.TestCase):
    def test_every_crate_is_named_once_and_texts_are_there(self):
        text = third_party.notices()
        for package in third_party.crates(third_party.PROGRAMS):
            if package["source"]:
                self.assertEqual(text.count(f"\n{package['name']} {package['version']} ("), 1, package["name"])
        self.assertIn("Permission is hereby granted, free of charge", text)
        self.assertIn("ONNX Runtime: LICENSE", text)
        self.assertIn("DejaVu Sans", text)


if __name__ == "__main__":
    unittest.main()
