import { expect, test } from 'vitest'

import { account, allow, event, group, region, startLogs, stream } from './logs-fixture.ts'

const arn = `arn:aws:logs:${region}:${account}:log-group:`
/** What the managed policy of the appliance's role says about logs. */
const appliance = [
  allow(
    ['logs:CreateLogStream', 'logs:DescribeLogStreams', 'logs:PutLogEvents'],
    [
      'arn:aws:logs:*:*:log-group:/aws/panorama_device*:log-stream:*',
      'arn:aws:logs:*:*:log-group:/aws/panorama/devices/*',
    ],
  ),
  allow(
    ['logs:CreateLogGroup'],
    ['arn:aws:logs:*:*:log-group:/aws/panorama_device*', 'arn:aws:logs:*:*:log-group:/aws/panorama/devices/*'],
  ),
]

test.each([group, '/aws/panorama/devices/device-1/applications/a-1', '/aws/panorama_device/x'])(
  "lets the appliance's role write to the group %s",
  async (logGroupName) => {
    const { send, logs } = startLogs()
    if (logGroupName === group) logs.deleteGroup(group)
    const input = { logGroupName, logStreamName: 'new', logEvents: [event('x')] }
    const actions = ['CreateLogGroup', 'CreateLogStream', 'DescribeLogStreams', 'PutLogEvents']
    const statuses: number[] = []
    for (const action of actions) statuses.push((await send(action, input, { policies: appliance })).status)
    expect(statuses).toEqual([200, 200, 200, 200])
  },
)

test.each(['CreateLogGroup', 'CreateLogStream', 'DescribeLogStreams', 'PutLogEvents'])(
  "refuses the appliance's role %s on another group",
  async (action) => {
    const { send } = startLogs()
    const input = { logGroupName: '/aws/lambda/x', logStreamName: stream, logEvents: [event('x')] }
    const { status, body } = await send(action, input, { policies: appliance })
    expect([status, body['__type']]).toEqual([400, 'AccessDeniedException'])
  },
)

test.each(['GetLogEvents', 'FilterLogEvents', 'DescribeLogGroups'])(
  "refuses the appliance's role %s on its own group",
  async (action) => {
    const { send } = startLogs()
    const { body } = await send(action, { logGroupName: group, logStreamName: stream }, { policies: appliance })
    expect(body['__type']).toBe('AccessDeniedException')
  },
)

test.each([
  ['CreateLogGroup', `${arn}/g`],
  ['CreateLogStream', `${arn}/g:log-stream:s`],
  ['PutLogEvents', `${arn}/g:log-stream:s`],
  ['GetLogEvents', `${arn}/g:log-stream:s`],
  ['DescribeLogStreams', `${arn}/g:log-stream:`],
  ['FilterLogEvents', `${arn}/g:log-stream:`],
  ['DescribeLogGroups', `${arn}:log-stream:`],
])('decides %s on %s, and says so', async (action, resource) => {
  const { send } = startLogs()
  const input = { logGroupName: '/g', logStreamName: 's' }
  const refused = await send(action, input, { policies: [] })
  expect(refused.body).toEqual({
    __type: 'AccessDeniedException',
    Message:
      `User: arn:aws:sts::${account}:assumed-role/appliance/session is not authorized to perform: logs:${action} ` +
      `on resource: ${resource} because no identity-based policy allows the logs:${action} action`,
  })
  const allowed = await send(action, input, { policies: [allow([`logs:${action}`], [resource])] })
  expect(allowed.body['__type']).not.toBe('AccessDeniedException')
})

test('lets an explicit deny win, and says so', async () => {
  const { put } = startLogs()
  const everything = allow(['logs:*'], ['*'])
  const denied = {
    ...everything,
    statements: everything.statements.map((each) => ({ ...each, effect: 'Deny' as const })),
  }
  const { body } = await put([event('x')], { policies: [everything, denied] })
  expect(body['Message']).toMatch(/with an explicit deny in an identity-based policy$/)
})
