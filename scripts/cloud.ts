import { runClaimsCommand } from './cloud-claims.ts'
import { runCredentialsCommand } from './cloud-credentials.ts'
import { runJobsCommand } from './cloud-jobs.ts'
import { runCertificatesCommand, runTemplatesCommand } from './cloud-provisioning.ts'
import { runShadowCommand } from './cloud-shadow.ts'
import { parseCommandLine } from './parse-command-line.ts'

const usage = `Usage: npm run cloud -- [--folder FOLDER] [--thing NAME] [--services-port PORT] [--credentials-port PORT] [--mqtt-port PORT]
       npm run cloud -- jobs create --folder FOLDER --job ID --document FILE [--thing NAME] [--timeout-minutes N]
       npm run cloud -- jobs cancel --folder FOLDER --job ID [--force]
       npm run cloud -- jobs cancel-execution --folder FOLDER --job ID [--thing NAME] [--force]
       npm run cloud -- jobs list --folder FOLDER
       npm run cloud -- shadow get --folder FOLDER [--thing NAME] [--shadow NAME]
       npm run cloud -- claims create --folder FOLDER [--out FOLDER]
       npm run cloud -- claims list --folder FOLDER
       npm run cloud -- certificates list --folder FOLDER
       npm run cloud -- certificates activate|deactivate --folder FOLDER --certificate ID
       npm run cloud -- certificates delay --folder FOLDER --seconds N
       npm run cloud -- templates enable|disable --folder FOLDER [--template NAME]
       npm run cloud -- credentials --folder FOLDER

Runs the local cloud until it is interrupted. Writes the identity of an appliance and a configuration for it (agent.json) to
FOLDER (default: a temporary folder, removed at the end), and one of an appliance without an identity (first-boot.json) with
its serial number. With mosquitto installed, AWS IoT Core is part of it, and "jobs" has
the cloud that runs with this FOLDER make, cancel and list jobs; as in AWS, "cancel" ends what is queued, and what is in
progress only with --force, while "cancel-execution", of one thing, refuses that without. "shadow get" prints what an
appliance reports (shadow panorama-agent, unless told otherwise). "claims create" has it make a certificate for
fleet provisioning, which is written with its key to --out (default: claim in FOLDER), and "claims list" lists certificates.
"certificates" shows them, takes one out of use, a claim's too, or has those that are registered from now on not work before
so many seconds are over, as it may be at AWS. "templates" takes a provisioning template out of use (panorama-appliance, unless
told otherwise). "credentials" prints what "panorama-agent publish" needs: eval "$(npm run --silent cloud -- credentials ...)".
`

const { values, positionals } = parseCommandLine(usage, {
  allowPositionals: true,
  options: {
    job: { type: 'string' },
    document: { type: 'string' },
    'timeout-minutes': { type: 'string' },
    force: { type: 'boolean', default: false },
    'mqtt-port': { type: 'string', default: '0' },
    folder: { type: 'string' },
    out: { type: 'string' },
    certificate: { type: 'string' },
    seconds: { type: 'string' },
    template: { type: 'string', default: 'panorama-appliance' },
    shadow: { type: 'string', default: 'panorama-agent' },
    thing: { type: 'string', default: 'panorama_demo_Thing' },
    'services-port': { type: 'string', default: '0' },
    'credentials-port': { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(usage)
else if (positionals[0] === 'jobs') await tell(() => runJobsCommand(positionals[1], values))
else if (positionals[0] === 'shadow') await tell(() => runShadowCommand(positionals[1], values))
else if (positionals[0] === 'claims') await tell(() => runClaimsCommand(positionals[1], values))
else if (positionals[0] === 'certificates') await tell(() => runCertificatesCommand(positionals[1], values))
else if (positionals[0] === 'templates') await tell(() => runTemplatesCommand(positionals[1], values))
else if (positionals[0] === 'credentials') await tell(() => runCredentialsCommand(values.folder))
else if (positionals[0] === undefined)
  await tell(async () => {
    await (await import('./cloud-run.ts')).runCloud(values) // only here: it takes a second to load
  })
else {
  process.stderr.write(`"${positionals[0]}" is not known\n${usage}`)
  process.exitCode = 64
}

async function tell(command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    process.stderr.write(`cloud: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
