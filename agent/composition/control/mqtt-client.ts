import { AgentError } from '../../lib/errors.ts'

const maxReason = 300

/**
 * Loads a module that needs aws-crt's binary, which is not there, or cannot be loaded, where the package is not of this
 * platform or is damaged. Throws an AgentError that says so.
 */
export async function loadMqttClient<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new AgentError('the MQTT client cannot be loaded', {
      hint: 'install the package panorama-agent of this platform again, then restart the agent',
      cause: new AgentError(reason.replace(/\s+/g, ' ').slice(0, maxReason)),
    })
  }
}
