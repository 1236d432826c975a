import { checkImage } from './image/check-image.ts'
import { parseCommandLine } from './parse-command-line.ts'

/** For scripts/image-install: exits with 0 where the configuration has no fault, with 3 where there is none, else with 1. */
const usage = `Usage: scripts/check-image.ts ROOTFS [--claim-brought]

Checks the configuration of an image as "panorama-agent config check" does, and the files that it names, in the image.
`
const configFile = '/etc/panorama-agent/config.json'
const { values, positionals } = parseCommandLine(usage, {
  allowPositionals: true,
  options: { 'claim-brought': { type: 'boolean', default: false } },
})
const [root] = positionals

if (root === undefined) {
  process.stderr.write(usage)
  process.exitCode = 64
} else {
  const report = await checkImage({ root, configFile, isClaimBrought: values['claim-brought'] })
  for (const { path, message } of report?.warnings ?? []) {
    process.stdout.write(`image-install: ${configFile}: warning: ${path}: ${message}\n`)
  }
  for (const { path, message } of report?.faults ?? []) {
    process.stderr.write(`image-install: ${configFile}: ${path === '' ? '' : `${path}: `}${message}\n`)
  }
  process.exitCode = report === undefined ? 3 : report.faults.length > 0 ? 1 : 0
}
