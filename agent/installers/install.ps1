<#
.SYNOPSIS
Makes this Windows machine a node of a ShareAI console.

.DESCRIPTION
    irm https://your-console/install.ps1 | iex

asks for the token, installs for this user, and starts the agent with each sign-in. Run again, it upgrades. With options:

    & ([scriptblock]::Create((irm https://your-console/install.ps1))) -Service

The token is never a word of a command line, where every user of the machine could read it.

.PARAMETER Console
The console's address, where this file was not fetched from it.
.PARAMETER TokenFile
A file with the enrolment token. Without it: $env:SHAREAI_NODE_TOKEN, or a question.
.PARAMETER Service
Start with the machine instead of the session. Needs an administrator; idle-time mode then cannot see the keyboard.
.PARAMETER NoEnroll
Install only.
.PARAMETER Replace
Give up a former enrolment of this machine.
.PARAMETER NoStart
Do not start the agent by itself.
.PARAMETER Prefix
Where the program goes.
.PARAMETER Name
What the machine is called in the console.
.PARAMETER AllowHttp
Accept a console without TLS, in a network that is yours alone.
.PARAMETER DryRun
Say what would be done, and do nothing.
.PARAMETER Uninstall
Remove the task, the program, its settings, its key and its logs, wherever they were installed. What was installed with
-Service needs an administrator.
#>
param(
    [string] $Console = '@@CONSOLE@@',
    [string] $TokenFile = '',
    [string] $Prefix = '',
    [string] $Name = '',
    [switch] $Service,
    [switch] $NoEnroll,
    [switch] $NoStart,
    [switch] $Replace,
    [switch] $AllowHttp,
    [switch] $DryRun,
    [switch] $Uninstall
)

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 3.0
$NotEnrolled = 3 # the agent's exit status

# `exit` would close the window of whoever pasted the command; an exception only ends it.
function Stop-Install([string] $Reason) { throw "shareai-node: $Reason" }

function Assert-Console {
    if ($Console.StartsWith('@@')) { Stop-Install 'Which console? Add -Console https://your-console.' }
    if ($Console -notmatch '^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$') {
        Stop-Install "That is not the address of a console. Write it as https://your-console."
    }
    $loopback = $Console -match '^http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?/?$'
    if ($Console.StartsWith('http://') -and -not $loopback -and -not $AllowHttp) {
        Stop-Install "$Console is not encrypted. Use its https:// address, or add -AllowHttp in a network that is yours alone."
    }
}

function Test-Administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    return ([Security.Principal.WindowsPrincipal] $identity).IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

function Get-Prefix {
    if ($Prefix) { return $Prefix }
    if ($Service) { return Join-Path $env:ProgramFiles 'shareai-node' }
    return Join-Path $env:LOCALAPPDATA 'shareai-node'
}

function Invoke-Quietly([scriptblock] $Block) {
    # Windows PowerShell takes what a program writes to its error stream for errors of its own.
    $ErrorActionPreference = 'Continue'
    & $Block 2>&1 | Out-Null
}

function Test-Python([string[]] $Command) {
    if (-not (Get-Command $Command[0] -ErrorAction SilentlyContinue)) { return $false }
    $rest = @($Command | Select-Object -Skip 1)
    # Windows ships a `python` that only opens the Store; it fails here as an old one does.
    Invoke-Quietly { & $Command[0] @rest -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' }
    return $LASTEXITCODE -eq 0
}

function Find-Python {
    $candidates = @(, @('py', '-3')) + @('3.14', '3.13', '3.12', '3.11' | ForEach-Object { , @('py', "-$_") })
    $candidates += , @('python3')
    $candidates += , @('python')
    foreach ($candidate in $candidates) {
        if (Test-Python $candidate) { return $candidate }
    }
    if (Get-Command 'uv' -ErrorAction SilentlyContinue) { return @('uv') }
    Stop-Install 'Python 3.11 or newer is needed: winget install Python.Python.3.12. Then open a new window and start again.'
}

function Get-File([string] $Name, [string] $Folder) {
    $wanted = @{
        Uri = "$($Console.TrimEnd('/'))/nodes/v1/agent/$Name"
        OutFile = Join-Path $Folder $Name
        UseBasicParsing = $true
    }
    if ($env:HTTPS_PROXY -and $Console.StartsWith('https://')) { $wanted.Proxy = $env:HTTPS_PROXY }
    try { Invoke-WebRequest @wanted }
    catch { Stop-Install "$($wanted.Uri) could not be fetched ($($_.Exception.Message)). Check the network and its proxy." }
}

function Get-VerifiedFile([string] $Name, [string] $Folder, [hashtable] $Sums) {
    if (-not $Sums.ContainsKey($Name)) { Stop-Install "The console lists no checksum for $Name. Tell its administrator." }
    Get-File $Name $Folder
    $found = (Get-FileHash -Algorithm SHA256 (Join-Path $Folder $Name)).Hash
    if ($found -ne $Sums[$Name]) {
        Stop-Install "$Name is not what the console lists: its checksum differs. Nothing was installed. Start again, or ask why."
    }
}

function Get-Sums([string] $Folder) {
    Get-File 'SHA256SUMS' $Folder
    $sums = @{}
    foreach ($line in Get-Content (Join-Path $Folder 'SHA256SUMS')) {
        if ($line -match '^([0-9a-f]{64})  ([A-Za-z0-9._-]+)$') { $sums[$Matches[2]] = $Matches[1] }
    }
    return $sums
}

function Invoke-Checked([string[]] $Command, [string] $Advice) {
    $rest = @($Command | Select-Object -Skip 1)
    & $Command[0] @rest
    if ($LASTEXITCODE -ne 0) { Stop-Install $Advice }
}

# Into a folder of its own, so that what is there goes on working until the new one has been seen to work.
function New-Environment([string[]] $Python, [string] $Folder, [string] $Downloads, [string] $Wheel) {
    if ($Python[0] -eq 'uv') {
        Invoke-Checked @('uv', 'venv', '--quiet', '--seed', '--python', '3.12', $Folder) 'uv could not make an environment.'
    }
    else { Invoke-Checked ($Python + @('-m', 'venv', $Folder)) 'Python could not make an environment.' }
    $pip = @((Join-Path $Folder 'Scripts\python.exe'), '-m', 'pip', '--disable-pip-version-check', '--quiet', 'install')
    $pip += '--no-cache-dir'
    $advice = "The agent's dependencies could not be installed; the reason is above. Behind a proxy, set HTTPS_PROXY."
    $sensors = $pip + @('--only-binary', ':all:', '--require-hashes', '-r', (Join-Path $Downloads 'requirements-sensors.txt'))
    $rest = @($sensors | Select-Object -Skip 1)
    Invoke-Quietly { & $sensors[0] @rest }
    if ($LASTEXITCODE -ne 0) {
        Invoke-Checked ($pip + @('--prefer-binary', '--require-hashes', '-r', (Join-Path $Downloads 'requirements.txt'))) $advice
    }
    Invoke-Checked ($pip + @('--no-deps', '--no-index', (Join-Path $Downloads $Wheel))) $advice
    Invoke-Checked @((Join-Path $Folder 'Scripts\shareai-node.exe'), '--version') 'The installed agent does not start.'
}

# One command for all environments: links to files need rights that users do not have.
function Set-Command([string] $Root, [string] $Agent) {
    $bin = Join-Path $Root 'bin'
    New-Item -ItemType Directory -Force $bin | Out-Null
    Set-Content -Encoding Ascii (Join-Path $bin 'shareai-node.cmd') "@`"$Agent`" %*"
    $scope = if ($Service) { 'Machine' } else { 'User' }
    $path = [string] [Environment]::GetEnvironmentVariable('Path', $scope)
    if (($path -split ';') -notcontains $bin) {
        [Environment]::SetEnvironmentVariable('Path', ((@($path -split ';' | Where-Object { $_ }) + $bin) -join ';'), $scope)
    }
}

function Remove-Command([string] $Root) {
    $bin = Join-Path $Root 'bin'
    foreach ($scope in 'User', 'Machine') {
        $path = [string] [Environment]::GetEnvironmentVariable('Path', $scope)
        if (($path -split ';') -contains $bin -and ($scope -eq 'User' -or (Test-Administrator))) {
            $kept = @($path -split ';' | Where-Object { $_ -and $_ -ne $bin }) -join ';'
            [Environment]::SetEnvironmentVariable('Path', $kept, $scope)
        }
    }
}

function Find-Agent([string] $Root) {
    $current = Join-Path $Root 'current'
    if (-not (Test-Path $current)) { return $null }
    $agent = Join-Path (Get-Content $current -TotalCount 1) 'Scripts\shareai-node.exe'
    if (Test-Path $agent) { return $agent }
    return $null
}

function Read-Token {
    if ($TokenFile) { return (Get-Content -Raw $TokenFile).Trim() }
    if ($env:SHAREAI_NODE_TOKEN) { return $env:SHAREAI_NODE_TOKEN }
    $secret = Read-Host -AsSecureString 'Enrolment token (from the console: Nodes, Add a machine)'
    return (New-Object System.Net.NetworkCredential('', $secret)).Password
}

function Register-Node([string] $Agent) {
    Invoke-Quietly { & $Agent server list }
    if ($LASTEXITCODE -ne $NotEnrolled -and -not $Replace) {
        Write-Output 'This machine is enrolled already.'
        return
    }
    $words = @('enroll', $Console.TrimEnd('/'))
    if ($Name) { $words += @('--name', $Name) }
    if ($Replace) { $words += '--replace' }
    if ($AllowHttp) { $words += '--allow-http' }
    $token = Read-Token
    Remove-Item Env:SHAREAI_NODE_TOKEN -ErrorAction SilentlyContinue
    $OutputEncoding = [System.Text.Encoding]::ASCII # on its way to the agent's standard input, without a mark before it
    $token | & $Agent @words
    if ($LASTEXITCODE -ne 0) { Stop-Install 'Installed, but not enrolled; the reason is above.' }
}

function Start-Node([string] $Agent) {
    $words = @('service', 'install')
    if ($Service) { $words += '--boot' }
    & $Agent @words
    if ($LASTEXITCODE -ne 0) { Stop-Install 'Installed and enrolled, but the agent was not started; the reason is above.' }
}

function Install-Node([string] $Root) {
    Assert-Console
    if ($Service -and -not (Test-Administrator)) { Stop-Install '-Service needs a window that was started as administrator.' }
    [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072 # TLS 1.2
    $python = @(Find-Python)
    if ($DryRun) {
        Write-Output "Would fetch the agent from $Console, compare its SHA-256, and install it into $Root with $python."
        return
    }
    $downloads = Join-Path ([IO.Path]::GetTempPath()) ([IO.Path]::GetRandomFileName())
    New-Item -ItemType Directory $downloads | Out-Null
    try { Install-From $Root $downloads $python }
    finally { Remove-Item -Recurse -Force $downloads }
}

function Install-From([string] $Root, [string] $Downloads, [string[]] $Python) {
    $sums = Get-Sums $Downloads
    $wheel = $sums.Keys | Where-Object { $_ -match '^shareai_node-[A-Za-z0-9.]+-py3-none-any\.whl$' } | Select-Object -First 1
    if (-not $wheel) { Stop-Install "$Console offers no agent. Is that the address of a ShareAI console?" }
    foreach ($name in $wheel, 'requirements.txt', 'requirements-sensors.txt') { Get-VerifiedFile $name $Downloads $sums }
    $environment = Join-Path $Root "env-$([DateTime]::UtcNow.ToString('yyyyMMddHHmmss'))"
    New-Item -ItemType Directory -Force $Root | Out-Null
    try { New-Environment $Python $environment $Downloads $wheel }
    catch {
        Remove-Item -Recurse -Force $environment -ErrorAction SilentlyContinue
        throw
    }
    Set-Content -Encoding UTF8 (Join-Path $Root 'current') $environment
    $agent = Find-Agent $Root
    Set-Command $Root $agent
    if (-not $NoEnroll) { Register-Node $agent }
    if (-not $NoStart -and -not $NoEnroll) { Start-Node $agent }
    # A program that still runs keeps its folder; the next run removes it.
    Get-ChildItem $Root -Directory -Filter 'env-*' | Where-Object { $_.FullName -ne $environment } |
        Remove-Item -Recurse -Force -ErrorAction SilentlyContinue
    Write-Output "Installed. In a new window: shareai-node status. Choose what this machine offers in $Console/nodes"
}

# Whoever uninstalls need not know how it was installed.
function Find-Root {
    if ($Prefix -or $Service) { $places = @(Get-Prefix) }
    else { $places = @($env:LOCALAPPDATA, $env:ProgramFiles | ForEach-Object { Join-Path $_ 'shareai-node' }) }
    $roots = @($places | Where-Object { Test-Path (Join-Path $_ 'current') })
    if (-not $roots) {
        Stop-Install "Nothing is installed in $($places -join ' or '). If it went elsewhere, add -Prefix FOLDER. Nothing was removed."
    }
    return $roots
}

function Assert-Removable([string] $Root) {
    if ($Root.StartsWith($env:ProgramFiles) -and -not (Test-Administrator)) {
        Stop-Install "$Root was installed with -Service. Start again in a window that was started as administrator."
    }
    if (-not (Find-Agent $Root)) {
        Stop-Install "The program in $Root is damaged. Install it again over it (-NoEnroll), then uninstall. Nothing was removed."
    }
}

function Remove-Root([string] $Root) {
    $agent = Find-Agent $Root
    & $agent service uninstall --purge
    if ($LASTEXITCODE -ne 0) { Stop-Install "The agent could not be stopped and removed; the reason is above. $Root is still there." }
    Remove-Command $Root
    foreach ($own in 'bin', 'current', 'env-*') {
        Remove-Item -Recurse -Force (Join-Path $Root $own) -ErrorAction SilentlyContinue
    }
    if (Get-ChildItem -Force $Root -Filter 'env-*') {
        Stop-Install "The agent and its key are removed, but files in $Root are in use. Close what uses them and delete that folder."
    }
    if (-not (Get-ChildItem -Force $Root)) { Remove-Item $Root }
}

function Uninstall-Node {
    $roots = @(Find-Root)
    if ($DryRun) {
        Write-Output "Would stop and remove the agent and everything in $($roots -join ' and ')."
        return
    }
    foreach ($root in $roots) { Assert-Removable $root }
    foreach ($root in $roots) { Remove-Root $root }
    Write-Output 'shareai-node is gone from here. Remove the machine in the console too: Nodes.'
}

if ($Uninstall) { Uninstall-Node } else { Install-Node (Get-Prefix) }
