import { agentVersion } from '../../build-info.ts'
import type { Config } from '../../config/config-schema.ts'
import { configWarnings } from '../../config/config-warnings.ts'
import type { DoctorReport } from '../../doctor/doctor-check.ts'
import { doctorReport } from '../../doctor/doctor-report.ts'
import { runChecks } from '../../doctor/run-checks.ts'
import { createDoctor, doctorUser } from './doctor-checks.ts'
import type { WayToCloud } from '../session/way-to-cloud.ts'

const withinMs = 45_000

/**
 * What the doctor finds from within the agent, with the rights of the agent and in its sandbox: without a connection that would
 * end the agent's own, and without what the agent asks of cameras and their secrets anyway. Rejects with the signal's reason alone.
 */
export async function examineFromInside(config: Config, way: WayToCloud, signal: AbortSignal): Promise<DoctorReport> {
  const at = new Date().toISOString()
  const configuration = { what: 'the configuration in use', faults: [], warnings: configWarnings(config) }
  const usualFolders = config.paths
  using doctor = await createDoctor({ configuration, config, usualFolders, way, isInsideAgent: true }, signal)
  const findings = await runChecks(doctor.checks, { signal, withinMs })
  return doctorReport({ at, agent: agentVersion, user: doctorUser() }, findings)
}
