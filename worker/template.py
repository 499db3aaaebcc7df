"""What a Flex Template's launcher runs: the pipeline of its image, with workers of that image."""

import os
import sys

from pipelines import templates

image = f"--sdk_container_image={os.environ['STEMLODE_IMAGE']}"
sys.exit(templates.main([image, *sys.argv[1:]]))
